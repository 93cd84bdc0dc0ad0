"""A recorder that writes files into a folder as real ones do; `burst_file` makes one with an event at its own onset."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import soundfile
from loudness import RATE


def onset_of(number: int) -> float:
    """Return the onset in seconds of a recording's event: no two of 100 recordings in a row have the same."""
    return 0.5 + number % 100 / 25


def burst_file(path: Path, number: int) -> bytes:
    """Write a recording of 6 s with an event of 1 s, and return the file's bytes."""
    audio = np.full(6 * RATE, 0.01, np.float32)
    begin = round(onset_of(number) * RATE)
    audio[begin : begin + RATE] = 0.99
    soundfile.write(path, audio, RATE)
    return path.read_bytes()


def drop(folder: Path, number: int, data: bytes, pause: float) -> str:
    """Write a recording into a folder in one of four manners; return its name. `pause` is in seconds."""
    name = f"day{number % 3}/{number:04d}.wav"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    manner = number % 4
    if manner == 0:  # under another name, and renamed at the end
        path.with_suffix(".part").write_bytes(data)
        path.with_suffix(".part").rename(path)
    elif manner == 1:  # piece by piece, its length stated from the start
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(data), len(data) // 3):
                file.write(data[at : at + len(data) // 3])
                time.sleep(pause)
    elif manner == 2:  # as from a pipe, open all the while: each state reads as a whole file
        head = data[:40] + bytes(4)  # the size of the samples, 0: unknown
        with path.open("wb", buffering=0) as file:
            file.write(head + data[44 : len(data) // 2])
            time.sleep(2 * pause)
            file.write(data[len(data) // 2 :])
            file.seek(40)
            file.write(data[40:44])
    else:
        path.write_bytes(data)
    return name


def recorder(folder: Path, sounds: list[bytes], pause: float) -> threading.Thread:
    """Start to write these recordings one after the other."""

    def record() -> None:
        for number, data in enumerate(sounds):
            drop(folder, number, data, pause)

    thread = threading.Thread(target=record)
    thread.start()
    return thread
