"""Reading audio: any file and rate that libsndfile reads, as mono float32 at the rate asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from sed.errors import UserError

if TYPE_CHECKING:
    import soundfile

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif", ".m4a")
BLOCK = 1 << 16  # samples of every channel read at a time
_STREAMED = (0, 0xFFFFFFFF)  # a WAV written to a pipe has one of these as its length, and is whole all the same
_TIMES = re.compile(r"_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)$")


def read_audio(path: str | Path, rate: int) -> np.ndarray:
    """Read a file as mono (the mean of its channels) float32 (samples,), band-limited to and sampled at `rate` Hz.

    UserError when it is missing, empty, truncated, not audio, or holds values that are not finite.
    """
    return np.concatenate(list(read_blocks(path, rate)))


def inspect(path: str | Path) -> tuple[float, str]:
    """Read a file whole: (seconds, what is wrong with it: '' for nothing); 0 s where it cannot be read."""
    import soundfile

    count, peak = 0, 0.0
    try:
        for block in read_blocks(path, None):
            count += len(block)
            peak = max(peak, float(block.max()), -float(block.min()))
        rate = soundfile.info(str(path)).samplerate
    except UserError as error:
        return 0.0, str(error).removeprefix(f"{path}: ").rsplit(" (", 1)[0]
    return count / rate, "silent" if peak < 0.5 / 32768 else ""


def read_blocks(path: str | Path, rate: int | None, file: BinaryIO | None = None) -> Iterator[np.ndarray]:
    """Yield the samples of `read_audio` block by block, the same to the bit, in constant memory.

    Without a `rate` they keep the file's own. `file` (seekable) is read in place of `path`, which then only names it.
    """
    import soundfile

    try:
        with file or Path(path).open("rb") as source:
            _check_length(path, source)
            source.seek(0)
            with soundfile.SoundFile(source) as sound:
                yield from _resampled(_mono(path, sound), sound.samplerate, rate or sound.samplerate)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such audio file (is its path right?)") from None
    except PermissionError:
        raise UserError(f"{path}: permission denied (check its owner and mode)") from None
    except (IsADirectoryError, soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path}: not audio that libsndfile reads: {_reason(error)} (replace the file)") from None


def _mono(path: str | Path, sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """The mean of the channels, block by block; UserError for what is empty, truncated or not finite."""
    count, expected = 0, sound.frames
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
        count += len(block)
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        if not np.isfinite(mono).all():
            raise UserError(f"{path}: holds values that are not finite (replace the file)")
        yield mono
    if not count:
        raise UserError(f"{path}: no samples (replace the file)")
    if count < expected and sound.format != "MP3":  # an MP3's length is an estimate
        raise UserError(f"{path}: truncated: {count} of {expected} samples (replace the file)")


def _resampled(blocks: Iterable[np.ndarray], source: int, target: int) -> Iterator[np.ndarray]:
    if source == target:
        yield from map(np.ascontiguousarray, blocks)
        return
    import soxr

    stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """Resample (samples,) float32 from `source` to `target` Hz with a band-limited filter."""
    if source == target:
        return np.ascontiguousarray(samples)
    import soxr

    return soxr.resample(samples, source, target, quality="HQ").astype(np.float32, copy=False)


def named_seconds(clip: str) -> float | None:
    """The length that an AudioSet clip id names (`Y..._350.000_360.000` -> 10.0), None where it names none."""
    found = _TIMES.search(clip)
    seconds = float(found[2]) - float(found[1]) if found else 0.0
    return round(seconds, 3) if 0 < seconds <= 60 else None


def _check_length(path: str | Path, file: BinaryIO) -> None:
    """Refuse an empty file, a RIFF file that ends before the data that its header announces, an Ogg file without end.

    libsndfile reads the latter two without a word, as shorter recordings.
    """
    size = file.seek(0, 2)
    if size == 0:
        raise UserError(f"{path}: empty file (replace it)")
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"OggS" and not _ogg_ends(file, size):
        raise UserError(f"{path}: truncated: no last Ogg page (replace the file)")
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    at = 12
    while at + 8 <= size:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            if length not in _STREAMED and at + 8 + length > size:
                raise UserError(f"{path}: truncated: {size - at - 8} of {length} bytes of samples (replace the file)")
            return
        at += 8 + length + length % 2
    raise UserError(f"{path}: truncated: a WAV header without samples (replace the file)")


def _ogg_ends(file: BinaryIO, size: int) -> bool:
    """Whether the last page is whole and flagged as the stream's end."""
    file.seek(max(0, size - 70000))  # a page is 65307 bytes at most
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text.rsplit(": ", 1)[-1] if text else type(error).__name__
