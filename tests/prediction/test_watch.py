"""A watched folder: each recording's events once, none missed, though the watcher is killed again and again."""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kills import begin, ended, forked, kill_at_every_call
from loudness import POST, Loudness
from recorder import burst_file, drop, onset_of, recorder
from tiny_model import call

from sed.bin import predict
from sed.config import Parser
from sed.errors import UserError
from sed.prediction import session
from sed.prediction.predictor import WindowSettings
from sed.prediction.sources import read_recording
from sed.prediction.watch import watch


class Predicts(Loudness):
    windows = WindowSettings()


def arguments(*words: object) -> argparse.Namespace:
    parser: Parser = predict.parser()
    quick = "--watch-settle 0.03 --watch-interval 0.01 --watch-patience 0.2 --watch-idle 0.15 --format jsonl"
    return parser.parse_args([*quick.split(), *map(str, words)])


def watching(*words: object) -> Callable[[], int]:
    """Return a function that watches until no recording is new and returns the exit status."""

    def work() -> int:
        with ExitStack() as stack:
            model: Any = Predicts()
            return watch(arguments(*words), model, POST, stack)

    return work


def check(rows: list[dict[str, Any]], count: int) -> None:
    """Compare with the one event that was written into each recording."""
    assert sorted(row["filename"] for row in rows) == sorted(f"day{i % 3}/{i:04d}.wav" for i in range(count))
    for row in rows:
        assert row["onset"] == pytest.approx(onset_of(int(Path(row["filename"]).stem)), abs=0.15)
        assert row["offset"] - row["onset"] == pytest.approx(1, abs=0.3)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("sounds")
    return [burst_file(folder / "x.wav", number) for number in range(24)]


@pytest.mark.thorough
def test_each_recording_is_predicted_once_though_killed_while_they_arrive(tmp_path: Path, sounds: list[bytes]) -> None:
    """Six kills at moments that a seed chooses, while recordings arrive in four manners."""
    folder, table, moments = tmp_path / "in", tmp_path / "out.jsonl", random.Random(0)
    folder.mkdir()
    thread = recorder(folder, sounds, pause=0.08)
    killed = 0
    while killed < 6:
        child = begin(watching("--watch", folder, "--out", table))
        time.sleep(moments.uniform(0.05, 0.5))
        os.kill(child, signal.SIGKILL)
        killed += ended(child) == -signal.SIGKILL
    thread.join()
    assert forked(watching("--watch", folder, "--out", table)) == 0
    check(rows_of(table), len(sounds))
    assert forked(watching("--watch", folder, "--out", table)) == 0  # a restart finds nothing new
    check(rows_of(table), len(sounds))


@pytest.mark.thorough
@pytest.mark.parametrize("to", ["--out", "--out-dir"])
def test_each_recording_is_predicted_once_though_killed_at_file_system_calls(
    tmp_path: Path, sounds: list[bytes], to: str
) -> None:
    folder, place = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in (0, 3):
        drop(folder, number, sounds[number], 0)

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)

    def events(number: int) -> None:
        tables = [path for path in place.rglob("*.jsonl") if not path.name.endswith("watch.jsonl")]
        found = sorted(row["filename"] for table in tables for row in rows_of(table))
        assert found == ["day0/0000.wav", "day0/0003.wav"], number
        assert not [path for path in place.rglob("*") if path.name.endswith(".part")]

    work = watching("--watch", folder, to, place / "events.jsonl" if to == "--out" else place)
    assert kill_at_every_call(work, prepare, events, place, most=6) >= 4


def test_outputs_in_out_dir_have_the_folders_and_names_of_their_recordings(tmp_path: Path, sounds: list[bytes]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    for name in ("x.wav", "a/x.wav", "a/x.flac"):
        (folder / name).write_bytes(sounds[0])
    assert watching("--watch", folder, "--out-dir", out, "--format", "tsv,audacity")() == 0
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.tsv"))
    assert found == ["a/x.tsv", "a/x.wav.tsv", "x.tsv"]
    assert len(list(out.rglob("*.txt"))) == 3
    (folder / "y.wav").write_bytes(sounds[1])
    assert watching("--watch", folder, "--out-dir", out)() == 0
    assert len(rows_of(out / "y.jsonl")) == 1 and len(list(out.rglob("*.jsonl"))) == 2  # y's, and the ledger


def test_labels_beside_their_recordings_are_not_replaced(tmp_path: Path, sounds: list[bytes]) -> None:
    (tmp_path / "day").mkdir()
    for name in ("x.wav", "day/y.wav"):
        (tmp_path / name).write_bytes(sounds[0])
    (tmp_path / "day" / "y.txt").write_text("0.1\t0.5\tCat\n")
    work = watching("--watch", tmp_path, "--out-dir", tmp_path, "--format", "audacity")
    for _ in range(2):  # the first try leaves no state behind that would let the second one pass
        with pytest.raises(UserError, match=r"y\.txt: a label file that is beside its recording already"):
            work()
        assert (tmp_path / "day" / "y.txt").read_text() == "0.1\t0.5\tCat\n" and not (tmp_path / "x.txt").exists()
    (tmp_path / "day" / "y.txt").unlink()
    (tmp_path / "z.txt").write_text("of no recording so far")
    assert work() == 0 and work() == 0
    assert (tmp_path / "x.txt").read_text() == (tmp_path / "day" / "y.txt").read_text() != ""


def test_outputs_of_two_formats_do_not_have_one_name(tmp_path: Path, sounds: list[bytes]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.wav", "a.events.wav"):
        (folder / name).write_bytes(sounds[0])
    assert watching("--watch", folder, "--out-dir", out, "--format", "tsv,events-tsv")() == 0
    assert len([path for path in out.iterdir() if path.suffix == ".tsv"]) == 4


def test_a_table_is_not_continued_in_another_format(tmp_path: Path, sounds: list[bytes]) -> None:
    folder, out = tmp_path / "in", tmp_path / "events"
    folder.mkdir()
    (folder / "0.wav").write_bytes(sounds[0])
    lines, table = (watching("--watch", folder, "--out", out, "--format", name) for name in ("jsonl", "tsv"))
    assert lines() == 0
    before = out.read_bytes()
    with pytest.raises(UserError, match=r"events: begun in another --format"):
        table()
    assert out.read_bytes() == before
    out.rename(tmp_path / "moved")
    (folder / "1.wav").write_bytes(sounds[1])
    assert table() == 0 and out.read_text().startswith("filename\t")
    with pytest.raises(UserError, match=r"events: begun in another --format"):
        lines()


def test_what_cannot_be_read_is_named_once_and_holds_nothing_up(
    tmp_path: Path, sounds: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "bad.wav").write_bytes(sounds[0][:-100])
    drop(folder, 0, sounds[0], 0)
    assert watching("--watch", folder, "--out", table)() == 1
    line = next(line for line in capsys.readouterr().err.splitlines() if "bad.wav: truncated" in line)
    assert line.endswith("; given up: a corrected file needs another name")
    (folder / "bad.wav").write_bytes(sounds[0])  # as the line says, this is not enough
    assert watching("--watch", folder, "--out", table)() == 0
    assert "bad.wav" not in capsys.readouterr().err  # nor is it named again
    check(rows_of(table), 1)


def test_a_name_too_long_for_an_output_holds_nothing_up(
    tmp_path: Path, sounds: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, place = tmp_path / "in", tmp_path / "out"
    long = "a" * 248  # of the 255 bytes that a name may have, .wav and .tsv fit, .events.tsv does not
    folder.mkdir()
    for name in (long, "b"):
        (folder / f"{name}.wav").write_bytes(sounds[0])
    command = ["--watch", folder, "--out-dir", place, "--format", "tsv,events-tsv"]
    assert watching(*command)() == 1
    assert f"{long}.wav: too long a name for its outputs (rename it)" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir() if path.suffix == ".tsv") == ["b.events.tsv", "b.tsv"]
    assert watching(*command)() == 0  # given up


def test_a_fault_of_the_disk_is_one_of_its_recording(
    tmp_path: Path, sounds: list[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(name: str, rate: int) -> Iterator[np.ndarray]:
        if name.endswith("bad.wav"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return read_recording(name, rate)

    monkeypatch.setattr(session, "read_recording", faulty)
    folder, table = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "bad.wav").write_bytes(sounds[0])
    drop(folder, 0, sounds[0], 0)
    assert watching("--watch", folder, "--out", table)() == 1
    assert "bad.wav: input/output error" in capsys.readouterr().err
    check(rows_of(table), 1)


def test_standard_output_needs_a_place_for_the_state(
    tmp_path: Path, sounds: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    drop(tmp_path, 0, sounds[0], 0)
    with pytest.raises(UserError, match="no place to note what is done"):
        watching("--watch", tmp_path)()
    state = tmp_path / "state"
    assert watching("--watch", tmp_path, "--watch-state", state)() == 0
    assert [json.loads(line)["filename"] for line in capsys.readouterr().out.splitlines()] == ["day0/0000.wav"]
    assert watching("--watch", tmp_path, "--watch-state", state)() == 0
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    "words,message",
    [
        (["--watch", "nowhere", "--out", "x"], "no folder to watch"),
        (["--watch", ".", "--out", "x", "--format", "vtt"], "--out-dir"),
    ],
)
def test_a_missing_folder_and_formats_of_one_recording_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        watching(*words)()


@pytest.mark.parametrize("words", [["x.wav"], ["--live"], ["--html", "page.html"]])
def test_watching_refuses_files_live_and_a_page(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(predict, "--model", "m", "--watch", tmp_path, "--out", tmp_path / "out", *words) == 2
    assert "--watch takes the recordings of its folder" in capsys.readouterr().err
