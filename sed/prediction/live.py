"""A growing stream of raw PCM on standard input, as blocks of samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np

from sed.data.audio import fault_of
from sed.errors import UserError

KINDS = {"s16": ("<i2", 1 / 32768), "s32": ("<i4", 1 / 2147483648), "f32": ("<f4", 1.0), "u8": ("u1", 1 / 128)}
"""{name of a sample type: (NumPy's name, factor that scales it to [-1, 1], for u8 after 128 is subtracted)}"""


class BrokenStream(UserError):
    """The stream ended inside a sample of all channels; the samples before it have been used."""


def read_pcm(stream: IO[bytes], kind: str, channels: int, seconds: float, rate: int) -> Iterator[np.ndarray]:
    """Read raw PCM.

    Args:
        stream: the bytes.
        kind: type of the samples, a key of `KINDS`.
        channels: number of interleaved channels, which are averaged.
        seconds: largest length of a block.
        rate: sampling rate in Hz.

    Yields:
        Mono float32 blocks as they arrive.

    Raises:
        BrokenStream: the stream ends inside a sample of all channels.
        UserError: a sample is not finite, or above `sed.data.audio.LOUDEST`.
    """
    dtype, scale = KINDS[kind]
    size = np.dtype(dtype).itemsize * channels  # bytes of one sample of all channels
    rest = b""
    # os.read returns what the pipe has now; a buffered read would wait for a full block.
    while data := os.read(stream.fileno(), max(1, int(seconds * rate)) * size):
        data = rest + data
        whole = len(data) // size * size
        data, rest = data[:whole], data[whole:]
        if data:
            yield _mono(np.frombuffer(data, dtype), channels, scale, offset=128 if kind == "u8" else 0)
    if rest:
        raise BrokenStream(f"standard input: ended inside a sample ({len(rest)} of {size} bytes); all before was used")


def _mono(samples: np.ndarray, channels: int, scale: float, offset: int) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        mono = ((samples.astype(np.float32) - offset) * scale).reshape(-1, channels).mean(1)
    if fault := fault_of(mono):
        raise UserError(f"standard input: holds {fault} (is --live-kind right?)")
    return mono


def until_broken(blocks: Iterable[np.ndarray], problems: list[str]) -> Iterator[np.ndarray]:
    """Yield the blocks; a stream that ends inside a sample ends here normally, with a note in `problems`."""
    try:
        yield from blocks
    except BrokenStream as error:
        problems.append(str(error))
