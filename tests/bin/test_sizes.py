"""Many recordings, long ones and many classes: memory is bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest
import yaml
from tiny_model import call, save_tiny, write_sounds
from tiny_training import LABELS, write_dump
from tiny_training import TINY as TRAINING

from sed.bin import predict
from sed.data.scores import read_scores

TINY = " --clip-seconds 1 --input-frames 112 --mel-bins 16 --patch-freq 8 --stride-freq 8"
CPU = ["--device", "cpu", "--threads", "1"]
SLACK = 96 << 20
"""bytes of peak memory by which runs may differ for other reasons than their input"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("sizes") / "exp", options=TINY)


def peak(folder: Path, command: str, *arguments: object) -> int:
    """Run a command in a process of its own; return its peak memory in bytes."""
    with (folder / "log").open("w") as log:
        running = subprocess.Popen([sys.executable, "-m", f"sed.bin.{command}", *map(str, arguments)], stderr=log)
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0, (folder / "log").read_text()[-2000:]
    return usage.ru_maxrss << 10


def silent_wav(path: Path, hours: float) -> Path:
    """Write a WAV of 16 kHz with sound in its last ten seconds; the rest takes no place on the disk."""
    samples = round(hours * 3600 * 16000)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.setnframes(samples)
        file.writeframesraw(b"")
    head = bytearray(path.read_bytes()[:44])
    head[4:8], head[40:44] = (2 * samples + 36).to_bytes(4, "little"), (2 * samples).to_bytes(4, "little")
    sound = write_sounds(path.with_name("end.wav"), 10, seed=1).read_bytes()[-10 * 16000 * 2 :]
    with path.open("wb") as file:
        file.write(head)
        file.seek(44 + 2 * samples - len(sound))
        file.write(sound)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [["--out", "events.tsv"], ["--out-dir", "out"]])
def test_five_thousand_files_take_no_more_memory_than_fifty(
    experiment: Path, tmp_path: Path, outputs: list[str]
) -> None:
    sound = write_sounds(tmp_path / "one.wav", 0.5)
    peaks = {}
    for count in (50, 5000):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            os.link(sound, folder / f"{number:04d}.wav")
        written = tmp_path / f"{count}.{outputs[1]}"
        peaks[count] = peak(tmp_path, "predict", *CPU, "--model", experiment, outputs[0], written, folder)
    assert len(list(written.iterdir())) == 5000 if written.is_dir() else written.read_text().count(".wav") >= 5000
    print({count: f"{size >> 20} MB" for count, size in peaks.items()})
    assert peaks[5000] < peaks[50] + SLACK


@pytest.mark.slow
def test_six_hours_take_as_much_memory_as_six_minutes(experiment: Path, tmp_path: Path) -> None:
    quick = ["--overlap", "0", "--no-centre-events", "--batch-size", "64"]  # a fifth of the windows, as much memory
    peaks = {}
    for hours in (0.1, 6.0):
        recording = silent_wav(tmp_path / f"{hours}.wav", hours)
        events = tmp_path / f"{hours}.tsv"
        peaks[hours] = peak(tmp_path, "predict", *CPU, "--model", experiment, *quick, "--out", events, recording)
        last = max(float(row.split("\t")[2]) for row in events.read_text().splitlines()[1:])
        assert 3600 * hours - 10 < last <= 3600 * hours  # it was read to its end
    print({hours: f"{size >> 20} MB" for hours, size in peaks.items()})
    assert peaks[6.0] < peaks[0.1] + SLACK


@pytest.mark.slow
def test_five_hundred_classes_take_less_than_2_gib(tmp_path: Path) -> None:
    dump, exp = write_dump(tmp_path / "dump"), tmp_path / "exp"
    others = "".join(f"class_{number}\n" for number in range(497))
    for folder in (dump, *(path for path in dump.iterdir() if path.is_dir())):
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS) + others)
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump({**TRAINING, "epochs": 1, "steps_per_epoch": 1, "loggers": "jsonl"})
    )
    valid, scores, result = dump / "synth_valid", tmp_path / "s.h5", tmp_path / "result.json"
    tables = ["--ground-truth", valid / "events.tsv", "--durations", valid / "durations.tsv"]
    peaks = {
        "train": peak(tmp_path, "train", "--config", tmp_path / "c.yaml", dump, exp),
        "infer": peak(tmp_path, "infer", "--model", exp, "--device", "cpu", valid, scores),
        "score": peak(tmp_path, "score", *tables, "--bootstrap", "20", "--jobs", "1", "--out", result, scores),
    }
    assert read_scores(scores).frame.shape[2] == 500
    assert 0 <= json.loads(result.read_text())["psds1"] <= 1
    print({command: f"{size >> 20} MB" for command, size in peaks.items()})
    assert max(peaks.values()) < 2 << 30


@pytest.mark.parametrize("threads", ["1025", "100000", "-1", "many"])
def test_threads_have_a_bound(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred thousand ended the process by SIGSEGV."""
    assert call(predict, "--model", "exp", "--threads", threads, "a.wav") == 2
    said = capsys.readouterr().err
    assert "argument --threads: " in said and said.count("\n") == 1
