"""Splits of recordings cut into clips, by `cut_split` and by local/realdesed.sh, stage 0 of realdesed."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
from faulty_server import zipped
from paths import ROOT

from sed.bin import cut_recordings
from sed.data.prepare import cutting
from sed.data.prepare.aggregation import Options
from sed.data.prepare.clips import Columns
from sed.data.prepare.cutting import Cut, cut_split, recordings_folder, soft_table
from sed.data.soft_events import SoftEvent, read_soft_tsv
from sed.data.tables import Event, read_events_tsv
from sed.data.windows import read_windows
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
def test_realdesed_gets_deseds_layout(realdesed, tmp_path):
    run = stage0(realdesed, tmp_path / "d")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "d/metadata/labels.txt").read_text().split() == ["bell_ringing", "footsteps", "keychain"]
    assert "3 classes in the annotations, RealDESED has 15" in run.stderr
    events = read_events_tsv(tmp_path / "d/metadata/validation/validation.tsv")
    assert len(events) == 6
    assert events["validation_0_10.000_15.000"] == [Event(0, 2, "bell_ringing")]
    assert events["validation_2_0.000_10.000"] == []
    # The raw table has no row of the third recording: nobody annotated it, so it is not one without events.
    assert len(read_events_tsv(tmp_path / "d/metadata/train/audioset_strong.tsv")) == 4
    assert len(list((tmp_path / "d/audio/eval/public").glob("*.flac"))) == 6
    again = stage0(realdesed, tmp_path / "d")
    assert again.stderr.count("there already") == 4  # the downloads and three splits
    prepare = [str(ROOT / "local" / "prepare.sh"), str(tmp_path / "d"), str(tmp_path / "data")]
    run = subprocess.run(prepare, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len((tmp_path / "data/strong_real/wav.scp").read_text().splitlines()) == 4
    assert len((tmp_path / "data/public_eval/wav.scp").read_text().splitlines()) == 6


@pytest.mark.thorough
def test_another_layout_of_realdesed_is_refused(realdesed, tmp_path):
    realdesed.zenodo["20056072"]["test.zip"] = zipped({"test/audio/a.wav": b"", "test/labels.json": b"{}"})
    run = stage0(realdesed, tmp_path / "d")
    assert run.returncode == 2
    assert "test: no annotations.csv or annotations_raw.csv" in run.stderr.splitlines()[-1]


def test_a_split_is_cut_again_when_its_tables_change_or_clips_are_gone_whatever_the_clock_says(tmp_path, log_lines):
    split, tsv = tmp_path / "split", tmp_path / "t.tsv"
    (split / "audio").mkdir(parents=True)
    soundfile.write(split / "audio" / "a.wav", 0.1 * np.ones(8000), 4000)
    (split / "clips.csv").write_text("filename\na.wav\n")

    def cut(rows: str) -> bool:
        (split / "events.csv").write_text("filename,onset,offset,class\n" + rows)
        log_lines.clear()
        cut = Cut(listing="clips.csv", annotations=["events.csv"], seconds=1, max_bad=0)
        cut_split(split, tmp_path / "clips", tsv, cut)
        return not any("there already" in line for line in log_lines)

    assert cut("a.wav,0,0.5,x\n")
    for hours in (5, -5):  # from now
        os.utime(split / "events.csv", (time.time() + 3600 * hours,) * 2)
        os.utime(tsv, (time.time() - 3600 * hours,) * 2)
        assert not cut("a.wav,0,0.5,x\n")
    shutil.rmtree(tmp_path / "clips")
    assert cut("a.wav,0,0.5,x\n") and len(list((tmp_path / "clips").iterdir())) == 2
    assert cut("a.wav,0,0.5,y\n")
    assert {event.label for events in read_events_tsv(tsv).values() for event in events} == {"y"}


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/passwd", "a/../../b.wav"])
def test_names_outside_the_split_are_refused(tmp_path, name):
    (tmp_path / "split" / "audio").mkdir(parents=True)
    (tmp_path / "split" / "metadata.csv").write_text(f"filename\n{name}\n")
    (tmp_path / "split" / "annotations.csv").write_text("filename,onset,offset,class\n")
    with pytest.raises(UserError, match=r"metadata.csv: .*: a place outside the split's audio \(.+\)$"):
        cut = Cut(listing="metadata.csv", annotations=["annotations.csv"])
        cut_split(tmp_path / "split", tmp_path / "clips", tmp_path / "clips.tsv", cut)
    assert not (tmp_path / "clips.tsv").exists()


def made_up_split(folder: Path) -> Path:
    """Write a split of one recording of 12 s, with two annotators of one label and one final table."""
    (folder / "audio").mkdir(parents=True)
    soundfile.write(folder / "audio" / "a b.wav", 0.1 * np.ones(12 * 4000), 4000)
    (folder / "metadata.csv").write_text("filename\na b.wav\n")
    (folder / "annotations.csv").write_text("filename,onset,offset,class\na b.wav,9,11,x\n")
    raw = "a b.wav,8,11,x,one,unreviewed\na b.wav,9,11.5,x,two,unreviewed\n"
    (folder / "annotations_raw.csv").write_text(f"filename,onset,offset,class,annotator_id,review_status\n{raw}")
    return folder


COLUMNS = Columns(annotator="annotator_id", status="review_status")
BOTH = ["annotations.csv", "annotations_raw.csv"]


@pytest.mark.parametrize("other", ["a.flac", "deep/a.wav", "x y.wav"])
def test_recordings_whose_clips_would_have_one_name_are_refused(tmp_path, other):
    (tmp_path / "split" / "audio").mkdir(parents=True)
    (tmp_path / "split" / "metadata.csv").write_text(f"filename\na.wav\nx_y.wav\n{other}\n")
    (tmp_path / "split" / "annotations.csv").write_text("filename,onset,offset,class\n")
    cut = Cut(listing="metadata.csv", annotations=["annotations.csv"])
    with pytest.raises(UserError, match=rf"metadata.csv: \S+ and {other} differ in the folder, the suffix or a blank"):
        cut_split(tmp_path / "split", tmp_path / "clips", tmp_path / "clips.tsv", cut)


def test_soft_labels_are_cut_with_their_clips_and_go_with_them(tmp_path):
    split, tsv = made_up_split(tmp_path / "split"), tmp_path / "t.tsv"
    cut = Cut(listing="metadata.csv", annotations=BOTH, prefer_raw=True, columns=COLUMNS)
    cut_split(split, tmp_path / "clips", tsv, replace(cut, aggregation=Options(name="uniform")))
    assert read_soft_tsv(soft_table(tsv)) == {
        "a_b_0.000_10.000": [SoftEvent(8, 9, "x", 0.5), SoftEvent(9, 10, "x", 1)],
        "a_b_10.000_12.000": [SoftEvent(0, 1, "x", 1), SoftEvent(1, 1.5, "x", 0.5)],
    }
    assert read_events_tsv(tsv)["a_b_0.000_10.000"] == [Event(8, 10, "x")]
    cut_split(split, tmp_path / "clips", tsv, replace(cut, aggregation=Options(name="intersection")))
    assert not soft_table(tsv).exists()
    assert read_events_tsv(tsv)["a_b_0.000_10.000"] == [Event(9, 10, "x")]


def test_a_set_that_another_killed_run_began_to_replace_is_made_again(tmp_path, monkeypatch):
    """Once, the first run's table stayed valid beside the second one's soft labels."""
    split, tsv = made_up_split(tmp_path / "split"), tmp_path / "t.tsv"
    cut = Cut(
        listing="metadata.csv", annotations=BOTH, prefer_raw=True, columns=COLUMNS, aggregation=Options(name="uniform")
    )
    cut_split(split, tmp_path / "clips", tsv, cut)
    soft = soft_table(tsv).read_text()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cutting, "finish", Mock(side_effect=KeyboardInterrupt))
        cut_split(split, tmp_path / "clips", tsv, replace(cut, aggregation=Options(name="intersection")))
    assert not soft_table(tsv).exists()
    cut_split(split, tmp_path / "clips", tsv, cut)
    assert soft_table(tsv).read_text() == soft


def test_overlapping_clips_come_with_the_labels_of_their_recordings(tmp_path):
    split, tsv = made_up_split(tmp_path / "split"), tmp_path / "t.tsv"
    cut = Cut(listing="metadata.csv", annotations=BOTH, hop=5.0)
    cut_split(split, tmp_path / "clips", tsv, cut)
    windows, durations = read_windows(recordings_folder(tsv))
    assert windows == {
        "a_b_0.000_10.000": ("a_b", 0),
        "a_b_5.000_12.000": ("a_b", 5),
        "a_b_10.000_12.000": ("a_b", 10),
    }
    assert durations == {"a_b": 12}
    assert read_events_tsv(recordings_folder(tsv) / "events.tsv") == {"a_b": [Event(9, 11, "x")]}
    assert {path.stem for path in (tmp_path / "clips").glob("*.flac")} == set(windows) == set(read_events_tsv(tsv))
    assert soundfile.info(tmp_path / "clips" / "a_b_5.000_12.000.flac").frames == 7 * 4000
    cut_split(split, tmp_path / "clips", tsv, replace(cut, hop=None))
    assert not recordings_folder(tsv).exists()
    cut_split(split, tmp_path / "clips", tsv, replace(cut, hop=None, seconds=6.0))
    assert set(read_events_tsv(tsv)) == {"a_b_0.000_6.000", "a_b_6.000_12.000"}


def test_windows_of_long_recordings_start_to_the_millisecond(tmp_path):
    split, tsv = made_up_split(tmp_path / "split"), tmp_path / "t.tsv"
    soundfile.write(split / "audio" / "a b.wav", np.zeros(1400 * 500), 500)
    cut_split(split, tmp_path / "clips", tsv, Cut(listing="metadata.csv", annotations=BOTH, seconds=600.0, hop=500.032))
    assert sorted(start for _, start in read_windows(recordings_folder(tsv))[0].values()) == [0, 500.032, 1000.064]


def test_recordings_without_a_row_are_silent_or_left_out(tmp_path):
    split, tsv = made_up_split(tmp_path / "split"), tmp_path / "t.tsv"
    soundfile.write(split / "audio" / "c.wav", np.zeros(8000), 4000)
    (split / "metadata.csv").write_text("filename\na b.wav\nc.wav\n")
    cut = Cut(listing="metadata.csv", annotations=BOTH)
    cut_split(split, tmp_path / "clips", tsv, cut)
    assert read_events_tsv(tsv)["c_0.000_2.000"] == []
    cut_split(split, tmp_path / "clips", tsv, replace(cut, only_annotated=True))
    assert "c_0.000_2.000" not in read_events_tsv(tsv)
    (split / "tables").mkdir()
    (split / BOTH[0]).rename(split / "tables" / "final.csv")
    cut_split(split, tmp_path / "clips", tsv, replace(cut, annotations=["tables/final.csv", BOTH[1]]))
    assert read_events_tsv(tsv)["c_0.000_2.000"] == [], "a final table in a folder, once taken for a raw one"


def test_a_split_of_which_nothing_is_left_is_refused_instead_of_finished(tmp_path):
    split, tsv = made_up_split(tmp_path / "split"), tmp_path / "t.tsv"
    cut = Cut(listing="metadata.csv", annotations=BOTH)
    for name in BOTH:
        (split / name).write_text((split / name).read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"annotations\.csv: annotates none of the 1 recordings"):
        cut_split(split, tmp_path / "clips", tsv, replace(cut, only_annotated=True))
    (split / "metadata.csv").write_text("filename\n")
    with pytest.raises(UserError, match=r"metadata\.csv: names no recordings"):
        cut_split(split, tmp_path / "clips", tsv, cut)
    assert not tsv.exists()


@pytest.mark.parametrize("hop", ["11", "0.00001"])
def test_hops_that_leave_gaps_or_never_end_are_refused(tmp_path, monkeypatch, capsys, hop):
    places = [str(tmp_path / name) for name in ("split", "clips", "x.tsv")]
    monkeypatch.setattr(sys, "argv", ["cut_recordings", "--hop", hop, *places])
    with pytest.raises(SystemExit) as stop:
        cut_recordings.main()
    assert stop.value.code == 2 and f"--hop {float(hop):g}" in capsys.readouterr().err
