"""sed.bin.download, mostly called by local/download.sh, the recipes' script, which runs index_audio after it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from faulty_server import made_up_desed
from paths import ROOT

from sed.bin.download import link_ast
from sed.errors import UserError


def download(*arguments, cwd=ROOT) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "local" / "download.sh")
    return subprocess.run([script, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def server(serve):
    return serve(**made_up_desed(scale=2000))


@pytest.mark.thorough
def test_a_recipe_folder_is_filled_and_left_alone_the_second_time(server, tmp_path):
    for folder, video in (("one", 12), ("two", 13)):
        copy = tmp_path / folder / f"{video:011d}_30000_40000.wav"
        copy.parent.mkdir()
        copy.write_bytes(b"RIFF")
    options = ["--mirror", server.url, "--audio", tmp_path / "one", f"--audio={tmp_path / 'two'}"]
    run = download(*options, "downloads", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    real = tmp_path / "downloads" / "audio" / "validation" / "validation"
    assert sorted(p.name for p in real.iterdir()) == [f"Y{i:011d}_30.000_40.000.wav" for i in (12, 13)]
    assert "audio/validation/validation: 2 of 4 recordings there, 2 of them new" in run.stderr
    missing = (tmp_path / "downloads" / "missing_recordings.tsv").read_text().splitlines()
    # the header; of validation, weak (three come in X-ARES's shards), unlabelled and strong clips those not there
    assert len(missing) == 1 + (4 - 2) + (5 - 3) + 7 + 6
    asked = len(server.requests)
    again = download(*options, "downloads", cwd=tmp_path)
    assert (again.returncode, len(server.requests)) == (0, asked)
    assert "there already: synthetic, metadata, strong, public, xares, ast" in again.stderr


@pytest.mark.thorough
def test_what_is_missing_is_fetched(server, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "yt-dlp"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nfor url; do :; done\ncase $url in *15) echo 'ERROR: Private video' >&2; exit 1;; esac\n"
        "head -c 100 /dev/zero > recording.wav\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "d" / "metadata" / "validation").mkdir(parents=True)
    names = [f"Y{i:011d}_30.000_40.000.wav" for i in (12, 15)]
    (tmp_path / "d/metadata/validation/validation.tsv").write_text("\n".join(["filename", *names]) + "\n")
    (tmp_path / "d" / "ast.pth").symlink_to(program)  # any file: a linked checkpoint is not downloaded
    options = ["--mirror", server.url, "--parts", "ast", "--fetch", "--fetch-pause", 0]
    run = download(*options, tmp_path / "d")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "d/audio/validation/validation" / names[0]).stat().st_size == 100
    missing = (tmp_path / "d" / "missing_recordings.tsv").read_text().splitlines()
    assert missing == ["set\tfilename\treason", f"validation\t{names[1]}\tPrivate video"]


@pytest.mark.thorough
@pytest.mark.parametrize("given, code", [([], 1), (["--ast", "none.pth"], 2)], ids=["no network", "no file"])
def test_an_ast_that_cannot_be_had_does_not_keep_recordings_from_being_linked(server, tmp_path, given, code):
    options = ["--mirror", server.url, "--parts", "synthetic,metadata", "d"]
    assert download(*options, cwd=tmp_path).returncode == 0
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "00000000012_30_40.wav").write_bytes(b"1")
    options = ["--mirror", "http://127.0.0.1:9", "--retries", "0", "--parts", "synthetic,metadata,ast"]
    run = download(*options, *given, "--audio", "copies", "d", cwd=tmp_path)
    assert run.returncode == code and "--ast FILE" in run.stderr.splitlines()[-1], run.stderr
    assert (tmp_path / "d" / "missing_recordings.tsv").exists() and "Traceback" not in run.stderr
    linked = [path for path in (tmp_path / "d" / "audio").rglob("*00000000012*") if path.is_symlink()]
    assert linked
    lost = download("--mirror", "http://127.0.0.1:9", "--retries", "0", "--parts", "synthetic,metadata,ast,strong",
                    "--audio", "copies", "d", cwd=tmp_path)  # fmt: skip
    assert lost.returncode == 1 and "Still to get: strong, ast" in lost.stderr.splitlines()[-1]
    assert "or --ast FILE" in lost.stderr.splitlines()[-1]


@pytest.mark.thorough
def test_local_archives_and_a_local_checkpoint_need_no_network(tmp_path):
    desed = made_up_desed(scale=500)
    for number, files in enumerate(desed["zenodo"].values()):
        folder = tmp_path / f"usb{number % 2}"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    (tmp_path / "my.pth").write_bytes(b"x")
    options = ["--mirror", "http://127.0.0.1:9", "--retries", "0", "--ast", tmp_path / "my.pth"]
    run = download(*options, "--archives", tmp_path / "usb0", "--archives", tmp_path / "usb1", tmp_path / "d")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "d" / "ast.pth").resolve() == tmp_path / "my.pth"
    assert (tmp_path / "d" / "metadata" / "eval" / "public.tsv").exists()
    assert not (tmp_path / "d" / "archives").exists()
    again = download("--mirror", "http://127.0.0.1:9", "--retries", "0", tmp_path / "d")  # the link is remembered
    assert again.returncode == 0, again.stderr
    wrong = download("--research-only", "none", tmp_path / "d")
    assert "--research-only: no copy 'none'" in wrong.stderr.splitlines()[-1], "the AST is there, and not blamed"


@pytest.mark.parametrize("name", ["ast.pth", "ast.safetensors", "ast.pt"])
@pytest.mark.parametrize("is_link", [False, True])
def test_a_checkpoint_that_is_in_the_downloads_already_is_not_lost(tmp_path, name, is_link):
    given, target = tmp_path / name, tmp_path / ("my.pth" if is_link else name)
    target.write_bytes(b"x")
    if is_link:
        given.symlink_to(target)
    link_ast(given, tmp_path)
    link = tmp_path / ("ast.safetensors" if name == "ast.safetensors" else "ast.pth")
    assert link.read_bytes() == b"x" and link.resolve() == target


@pytest.mark.parametrize("name", ["ast.pth", "ast.safetensors"])
def test_a_checkpoint_replaces_links_but_no_other_checkpoint(tmp_path, name):
    downloads, given = tmp_path / "d", tmp_path / "my.safetensors"
    downloads.mkdir()
    given.write_bytes(b"x")
    (downloads / "ast.pth").symlink_to(tmp_path / "earlier.pth")
    link_ast(given, downloads)
    assert [path.name for path in downloads.iterdir()] == ["ast.safetensors"]
    (downloads / "ast.safetensors").unlink()
    (downloads / name).write_bytes(b"another")
    with pytest.raises(UserError, match=rf"d/{name}: there already, and not a link \(move it away"):
        link_ast(given, downloads)
    assert [path.read_bytes() for path in downloads.iterdir()] == [b"another"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "usage: local/download.sh [options] <downloads>"),
        (["--parts", "synthetic,weak", "d"], 2, "--parts: no part 'weak' (there are synthetic, metadata, strong"),
        (["--mirror", "http://127.0.0.1:9", "--retries", "0", "d"], 1, "Still to get: synthetic, metadata"),
        (["--parts", "minhleduc", "d"], 2, "--parts: minhleduc is for research only: weak, unlabelled and validation"),
        (["--research-only", "xares", "d"], 2, "--research-only: no copy 'xares' (there are: minhleduc)"),
        (["--mirror", "nowhere", "d"], 2, "nowhere/api/records/6026841: not an address"),
        (["--ast", "none.pth", "d"], 2, "none.pth: no such file"),
        (["--archives", "none", "d"], 2, "--archives: no such folder: none"),
        (["--audio", "none", "--audio", ".", "d"], 2, "--audio: no such file or folder: none"),
        (["--audio=none", "d"], 2, "--audio: no such file or folder: none"),
        pytest.param(
            ["--fetch", "true", "d"],
            2,
            "--fetch: there is no yt-dlp (pip install yt-dlp",
            marks=pytest.mark.skipif(shutil.which("yt-dlp") is not None, reason="yt-dlp is there"),
        ),
        (["--nj", "many", "d"], 2, "--nj is a whole number"),
        (["--corpus", "none", "d"], 2, "none_records.tsv: no such table"),
        (["--corpus", "urban_sed", "--audio", ".", "d"], 2, "--audio: all recordings of urban_sed are in its archives"),
        (["--corpus", "urban_sed", "--fetch", "true", "d"], 2, "--fetch: all recordings of urban_sed are in its"),
    ],
)
def test_bad_usage_and_a_missing_network_are_named_in_the_last_line(tmp_path, arguments, code, words):
    run = download(*arguments, cwd=tmp_path)
    assert (run.returncode, words in run.stderr.splitlines()[-1]) == (code, True), run.stderr
    assert "Traceback" not in run.stderr


def test_an_interrupted_download_of_the_ast_ends_the_script(tmp_path, monkeypatch):
    """The recordings are not indexed, nor fetched for days; bash itself ignores Ctrl-C if a command handles it."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$2" >>"{tmp_path}/calls"\nexit 130\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}:{os.environ['PATH']}")
    run = download("--parts", "ast", "d", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (130, "")
    assert (tmp_path / "calls").read_text() == "sed.bin.download\n"


@pytest.mark.thorough
def test_two_files_for_one_recording_are_named_and_the_first_stays(server, tmp_path):
    for name, content in (("a/00000000012_30_40.wav", b"1"), ("b/Y00000000012_30.000_40.000.flac", b"2")):
        (tmp_path / "copies" / name).parent.mkdir(parents=True)
        (tmp_path / "copies" / name).write_bytes(content)
    run = download("--mirror", server.url, "--parts", "metadata", "--audio", "copies", "d", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "1 copies differ from the recordings in place: differing_copies.tsv" in run.stderr
    assert "to download (0 s at 100 Mbit/s), " in run.stderr and " of disk needed, " in run.stderr
    table = (tmp_path / "d" / "differing_copies.tsv").read_text().splitlines()
    name = "Y00000000012_30.000_40.000"
    copies = tmp_path / "copies"
    # the last columns are differences in seconds and decibels, and the correlation: neither copy is audio
    assert table[1:] == [f"validation\t{name}.wav\t{copies}\t{copies}/b/{name}.flac\tnan\tnan\tnan"]
    assert (tmp_path / "d/audio/validation/validation" / f"{name}.wav").read_bytes() == b"1"


def test_realdesed_comes_by_the_same_script(serve, tmp_path):
    from faulty_server import zipped

    splits = {
        f"{s}.zip": zipped({f"{s}/audio/{s}.wav": b"1", f"{s}/metadata.csv": b"filename\n"}) for s in ("train", "test")
    }
    splits["validation.zip"] = zipped({"audio/v.wav": b"1", "metadata.csv": b"filename\n"})  # without a folder
    (tmp_path / "my.pth").write_bytes(b"x")
    server = serve(zenodo={"20056072": splits})
    run = download(
        "--corpus",
        "realdesed",
        "--parts",
        "train,validation,test,ast",
        "--mirror",
        server.url,
        "--ast",
        "my.pth",
        "d",
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    for name in ("train/audio/train.wav", "validation/metadata.csv", "test/metadata.csv"):
        assert (tmp_path / "d" / name).exists()
    assert set(json.loads((tmp_path / "d" / ".train.done").read_text())["files"]) == {"train.zip"}


def test_an_interrupt_ends_a_download_before_it_is_complete(serve, tmp_path):
    import signal
    import time

    server = serve(**made_up_desed(scale=20_000), rate=20_000)
    command = [
        sys.executable,
        "-m",
        "sed.bin.download",
        "--mirror",
        server.url,
        ROOT / "local" / "desed_records.tsv",
        "d",
    ]
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        # What a script started with & runs inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 20
    while not server.sent and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    try:
        _, stderr = run.communicate(timeout=20)
    finally:
        run.kill()  # if it has not ended
    assert run.returncode == 130, stderr
    assert b"Traceback" not in stderr
