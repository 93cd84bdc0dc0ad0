"""Libraries' output on standard error is suppressed within the context, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.audio import read_audio
from sed.data.containers.silence import silent


def test_output_of_c_code_is_dropped_inside_the_context_only(capfd: pytest.CaptureFixture) -> None:
    os.write(2, b"before ")
    with silent():
        os.write(2, b"lost ")
        with silent():
            os.write(2, b"lost ")
        os.write(2, b"lost ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_standard_error_is_restored_after_an_exception(capfd: pytest.CaptureFixture) -> None:
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


def test_a_closed_standard_error_is_accepted() -> None:
    code = "import os; from sed.data.containers.silence import silent\nos.close(2)\nwith silent(): print('inside')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "inside\n"


@pytest.mark.parametrize("free", [0, 1])
def test_without_free_descriptors_output_is_not_suppressed_and_none_is_lost(free: int) -> None:
    code = f"""
import os, resource
from sed.data.containers import silence
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
for _ in range({free}):
    os.close(taken.pop())
for _ in range(2):
    with silence.silent():
        os.write(2, b"shown ")
for _ in range({free}):
    os.dup(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "shown shown ")


@pytest.mark.parametrize("ends", ["log.warning('last')", "raise UserError('last')"])
def test_lines_of_a_command_are_written_while_a_thread_is_inside(ends: str) -> None:
    code = f"""
import logging, os, threading
from sed.cli import entry, setup_logging
from sed.data.containers.silence import silent
from sed.errors import UserError
inside, done = threading.Event(), threading.Event()
def decode():
    with silent():
        os.write(2, b"lost")
        inside.set()
        done.wait(10)
@entry
def main():
    log = setup_logging()
    threading.Thread(target=decode, daemon=True).start()
    inside.wait(10)
    logging.getLogger("sed.audio").warning("first")
    {ends}
main()
"""
    written = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert "first" in written and "last" in written and "lost" not in written


@pytest.mark.parametrize("damage", ["bytes are missing", "bytes are wrong"])
@pytest.mark.parametrize("kind", ["noise", "tone"])
def test_damaged_mp3_is_read_without_output_of_the_decoder(
    tmp_path: Path, kind: str, damage: str, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 44100)
    times = np.arange(5 * 44100) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 440 * times) * (times % 1 < 0.5)
    path = tmp_path / "x.mp3"
    soundfile.write(path, (tone if kind == "tone" else noise).astype(np.float32), 44100)
    # seed and first position with which libmpg123 reports the wrong bytes and still finds all frames
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(5)
    if damage == "bytes are missing":
        del data[6000:6100]
    else:
        for at in range(3004, len(data), 500):
            data[at] = rng.integers(256)
    path.write_bytes(data)
    whole = read_audio(path, 16000)
    assert "libmpg123" not in capfd.readouterr().err
    monkeypatch.setattr("sed.data.audio.silent", nullcontext)
    np.testing.assert_array_equal(read_audio(path, 16000), whole)
    if "libmpg123" not in capfd.readouterr().err:
        pytest.skip("this libmpg123 has nothing to say of it")
