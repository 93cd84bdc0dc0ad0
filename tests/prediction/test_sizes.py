"""Many recordings and long ones: time grows with them, memory does not."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from tiny_model import call, save_tiny, write_sounds

from sed.bin import predict

TINY = " --clip-seconds 1 --input-frames 112 --mel-bins 16 --patch-freq 8 --stride-freq 8"
SLACK = 96 << 20
"""bytes by which two runs may differ whatever their input"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("sizes") / "exp", options=TINY)


def peak(folder: Path, *arguments: object) -> int:
    """Run `predict` in a process of its own; return its peak memory in bytes."""
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "sed.bin.predict", "--device", "cpu", "--threads", "1", *map(str, arguments)]
        running = subprocess.Popen(command, stderr=log)
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
        peaks[count] = peak(tmp_path, "--model", experiment, outputs[0], written, folder)
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
        peaks[hours] = peak(tmp_path, "--model", experiment, *quick, "--out", events, recording)
        last = max(float(row.split("\t")[2]) for row in events.read_text().splitlines()[1:])
        assert 3600 * hours - 10 < last <= 3600 * hours  # it was read to its end
    print({hours: f"{size >> 20} MB" for hours, size in peaks.items()})
    assert peaks[6.0] < peaks[0.1] + SLACK


@pytest.mark.parametrize("threads", ["1025", "100000", "-1", "many"])
def test_threads_have_a_bound(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred thousand ended the process by SIGSEGV."""
    assert call(predict, "--model", "exp", "--threads", threads, "a.wav") == 2
    assert capsys.readouterr().err.count("\n") == 1
