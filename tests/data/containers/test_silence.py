"""What libraries write on standard error stays off it while they are silenced, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.audio import inspect, read_audio
from sed.data.containers.silence import silent
from sed.errors import UserError


def test_what_c_writes_is_dropped_and_what_comes_later_is_not(capfd: pytest.CaptureFixture) -> None:
    os.write(2, b"before ")
    with silent():
        os.write(2, b"lost ")
        with silent():
            os.write(2, b"lost ")
        os.write(2, b"lost ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_an_error_inside_opens_standard_error_again(capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match="x"), silent():
        raise ValueError("x")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_threads_may_overlap(capfd: pytest.CaptureFixture) -> None:
    def work() -> None:
        for _ in range(200):
            with silent():
                os.write(2, b"lost")

    before = len(list(Path("/dev/fd").iterdir()))
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after" and len(list(Path("/dev/fd").iterdir())) == before


def test_a_closed_standard_error_is_no_error() -> None:
    code = "import os; from sed.data.containers.silence import silent\nos.close(2)\nwith silent(): print('inside')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "inside\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 44100).astype(np.float32)
    soundfile.write(tmp_path / "x.mp3", noise, 44100)
    return tmp_path / "x.mp3"


@pytest.mark.parametrize("damage", ["zeros", "noise", "cut", "tag", "joined"])
def test_damaged_mp3_is_read_or_refused_without_a_word_of_the_decoder(
    recording: Path, damage: str, capfd: pytest.CaptureFixture
) -> None:
    data = bytearray(recording.read_bytes())
    middle = len(data) // 2
    if damage == "zeros":
        data[middle : middle + 700] = bytes(700)
    elif damage == "noise":
        for at in range(4000, len(data), 999):
            data[at : at + 40] = np.random.default_rng(at).bytes(40)
    elif damage == "cut":
        del data[middle + 100 :]
    elif damage == "tag":
        data[:0] = b"ID3\x04\0\0\0\0\0\x14" + bytes(10)
    else:
        data += data[300:]
    recording.write_bytes(data)
    try:
        read_audio(recording, 16000)
    except UserError as error:
        assert "\n" not in str(error)
    inspect(recording)
    assert capfd.readouterr().err == ""
