"""A split of recordings cut into clips, by the script that stage 0 of realdesed is."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faulty_server import zipped
from paths import ROOT

from sed.data.prepare.clips import Columns
from sed.data.prepare.cutting import cut_split
from sed.data.tables import Event, read_events_tsv
from sed.errors import UserError


@pytest.fixture
def realdesed(serve, tmp_path):
    """A server of the archives of a made-up RealDESED of three classes, in the layout of its README."""
    noise = np.random.default_rng(1)

    def archive(split: str, raw: bool) -> bytes:
        names = [f"{split}_{i}.wav" for i in range(3)]
        files = {}
        for name in names:
            soundfile.write(tmp_path / "x.wav", 0.1 * noise.standard_normal(15 * 4000), 4000)
            files[f"{split}/audio/{name}"] = (tmp_path / "x.wav").read_bytes()
        metadata = ["filename,target_classes,license", *(f'{name},"bell_ringing; keychain",CC0' for name in names)]
        files[f"{split}/metadata.csv"] = "\n".join(metadata).encode()
        rows = [(names[0], 1, 12, "bell_ringing"), (names[1], 2, 3, "keychain"), (names[1], 11, 12, "footsteps")]
        header = "filename,onset,offset,class" + ",annotator_id,annotator_is_creator,review_status" * raw
        lines = [header, *(",".join(map(str, row)) + ",a1,True,unreviewed" * raw for row in rows)]
        files[f"{split}/annotations{'_raw' * raw}.csv"] = "\n".join(lines).encode()
        return zipped(files)

    files = {f"{split}.zip": archive(split, raw=split == "train") for split in ("train", "validation", "test")}
    (tmp_path / "ast.pth").write_bytes(b"x")
    return serve(zenodo={"20056072": files})


def stage0(server, work: Path) -> subprocess.CompletedProcess[str]:
    options = ["--ast", str(work.parent / "ast.pth"), "--mirror", server.url]
    command = [str(ROOT / "local" / "realdesed.sh"), *options, str(work)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})


@pytest.mark.slow
def test_realdesed_becomes_deseds_layout(realdesed, tmp_path):
    run = stage0(realdesed, tmp_path / "d")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "d/metadata/labels.txt").read_text().split() == ["bell_ringing", "footsteps", "keychain"]
    assert "3 classes in the annotations, RealDESED has 15" in run.stderr
    events = read_events_tsv(tmp_path / "d/metadata/validation/validation.tsv")
    assert len(events) == 6
    assert events["validation_0_10.000_15.000"] == [Event(0, 2, "bell_ringing")]
    assert events["validation_2_0.000_10.000"] == []
    # Whom nobody annotated is not one without events.
    assert len(read_events_tsv(tmp_path / "d/metadata/train/audioset_strong.tsv")) == 4
    assert len(list((tmp_path / "d/audio/eval/public").glob("*.flac"))) == 6
    again = stage0(realdesed, tmp_path / "d")
    assert again.stderr.count("there already") == 4
    prepare = [str(ROOT / "local" / "prepare.sh"), str(tmp_path / "d"), str(tmp_path / "data")]
    run = subprocess.run(prepare, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len((tmp_path / "data/strong_real/wav.scp").read_text().splitlines()) == 4
    assert len((tmp_path / "data/public_eval/wav.scp").read_text().splitlines()) == 6


def test_another_layout_of_realdesed_is_refused(realdesed, tmp_path):
    realdesed.zenodo["20056072"]["test.zip"] = zipped({"test/audio/a.wav": b"", "test/labels.json": b"{}"})
    run = stage0(realdesed, tmp_path / "d")
    assert run.returncode == 2
    assert "test: no annotations.csv or annotations_raw.csv" in run.stderr.splitlines()[-1]


def test_a_split_is_cut_again_when_its_tables_change_whatever_the_clock_says(tmp_path, log_lines):
    split, tsv = tmp_path / "split", tmp_path / "t.tsv"
    (split / "audio").mkdir(parents=True)
    soundfile.write(split / "audio" / "a.wav", 0.1 * np.ones(8000), 4000)
    (split / "clips.csv").write_text("filename\na.wav\n")

    def cut(rows: str) -> bool:
        (split / "events.csv").write_text("filename,onset,offset,class\n" + rows)
        log_lines.clear()
        tables = {"clips": "clips.csv", "annotations": ["events.csv"], "columns": Columns()}
        cut_split(split, tmp_path / "clips", tsv, **tables, seconds=1, max_bad=0, jobs=1)
        return not any("there already" in line for line in log_lines)

    assert cut("a.wav,0,0.5,x\n")
    for hours in (5, -5):  # from now
        os.utime(split / "events.csv", (time.time() + 3600 * hours,) * 2)
        os.utime(tsv, (time.time() - 3600 * hours,) * 2)
        assert not cut("a.wav,0,0.5,x\n")
    assert cut("a.wav,0,0.5,y\n")
    assert {event.label for events in read_events_tsv(tsv).values() for event in events} == {"y"}


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/passwd", "a/../../b.wav"])
def test_names_outside_the_split_are_refused(tmp_path, name):
    (tmp_path / "split" / "audio").mkdir(parents=True)
    (tmp_path / "split" / "metadata.csv").write_text(f"filename\n{name}\n")
    (tmp_path / "split" / "annotations.csv").write_text("filename,onset,offset,class\n")
    with pytest.raises(UserError, match=r"metadata.csv: .*: a place outside the split's audio \(.+\)$"):
        cut_split(
            tmp_path / "split", tmp_path / "clips", tmp_path / "clips.tsv", clips="metadata.csv",
            annotations=["annotations.csv"], columns=Columns(), seconds=10.0, max_bad=5.0, jobs=1,
        )  # fmt: skip
    assert not (tmp_path / "clips.tsv").exists()
