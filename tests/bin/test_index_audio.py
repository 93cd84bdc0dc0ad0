"""sed.bin.index_audio: fetching that is killed, and fetching without the program."""

import subprocess
import sys

from paths import ROOT


def test_a_killed_run_keeps_youtube_as_the_origin_of_what_it_has_fetched(tmp_path):
    program = tmp_path / "yt-dlp"
    program.write_text(
        "#!/bin/sh\nfor url; do :; done\ncase $url in *15) kill -9 $PPID;; esac\n"
        "head -c 100 /dev/zero > recording.wav\n"
    )
    program.chmod(0o755)
    (tmp_path / "d" / "m").mkdir(parents=True)
    names = [f"Y{i:011d}_30.000_40.000.wav" for i in (12, 15)]
    (tmp_path / "d/m/v.tsv").write_text("\n".join(["filename", *names]) + "\n")
    (tmp_path / "table.tsv").write_text("metadata\taudio\nm/v.tsv\taudio/v\n")
    command = [sys.executable, "-m", "sed.bin.index_audio", tmp_path / "table.tsv", tmp_path / "d"]
    fetching = subprocess.run([*command, "--fetch", "--fetch-pause", "0", "--yt-dlp", program], cwd=ROOT, check=False)
    assert fetching.returncode == -9
    subprocess.run(command, cwd=ROOT, check=True)
    assert (tmp_path / "d/origins.tsv").read_text().splitlines()[1:] == [f"v\t{names[0]}\tYouTube"]


def test_without_yt_dlp_a_run_that_fetches_ends_before_it_reads_copies(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "table.tsv").write_text("metadata\taudio\n")
    command = [sys.executable, "-m", "sed.bin.index_audio", tmp_path / "table.tsv", tmp_path / "d"]
    run = subprocess.run([*command, "--fetch", "--yt-dlp", "none"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and "none: no such program" in run.stderr
    assert [path.name for path in (tmp_path / "d").iterdir()] == []
