"""Short sounds, written in any format that ffmpeg or libsndfile writes."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg (apt-get install ffmpeg)")


def beep(rate: int, seconds: float = 3.0, hertz: float = 900.0) -> np.ndarray:
    """Return a tone of amplitude 0.5 from 1 to 2 s, with a little noise: (samples,) float32."""
    t = np.arange(round(rate * seconds)) / rate
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    return (np.where((t >= 1) & (t < 2), 0.5 * np.sin(2 * np.pi * hertz * t), 0) + noise).astype(np.float32)


def write_beep(path: Path, rate: int = 16000, channels: int = 1, **how: str) -> np.ndarray:
    """Write `beep` by libsndfile; return it."""
    sound = beep(rate)
    soundfile.write(path, np.stack([sound] * channels, axis=1), rate, **how)
    return sound


def encode(source: Path, place: Path, *options: str) -> None:
    """Encode by ffmpeg."""
    command = ["ffmpeg", "-nostdin", "-y", "-v", "error", "-i", str(source), *options, str(place)]
    subprocess.run(command, check=True, timeout=60)


def piped(source: Path, place: Path, *options: str) -> None:
    """Encode by ffmpeg into a pipe, so that it cannot complete the header at the end."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(source), *options, "-"]
    place.write_bytes(subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE).stdout)


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Let no file grow beyond this many bytes, which a writer sees like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
