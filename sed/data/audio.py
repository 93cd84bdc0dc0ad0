"""Audio reader of all commands: any file that libsndfile, ffmpeg or PyAV decodes, as mono float32.

A length that a header states is compared with the content: files that were written to a pipe, chained Ogg, and MP3
without a header that states its length are read completely; truncated files are refused. Of VOC, NIST, IRCAM and SVX
files, which are rare, libsndfile reads what there is.

A frame of `Sound` is a sample of every channel, as in libsndfile; `sed.data.containers.mpeg` counts MPEG's frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from sed.data.containers import flac, foreign, mpeg, ogg, riff
from sed.data.containers.silence import silent
from sed.data.containers.view import View
from sed.errors import UserError
from sed.input_files import check_file, naming

if TYPE_CHECKING:
    import soundfile

BLOCK = 1 << 16  # samples per channel and block
LOWEST, HIGHEST = 100, 1_000_000  # sample rates in Hz (our choice); others are a damaged header's, or in kHz
UNRECOGNISED = 1  # libsndfile's error code of an unknown format
UNKNOWN = 1 << 40  # samples; a length from this value on is unknown: libsndfile then states 2^63 - 1
LOUDEST = 1e10
"""largest sample where full scale is 1 (our choice): unscaled integers of 32 bits, which are at most 2^31, are usable;
far above, powers overflow in float32"""
HALF_STEP = 0.5 / 32768  # half a quantisation step of 16-bit audio; a file that stays below it is silent
_TIMES = re.compile(r"_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)$")  # `_START_END` of an AudioSet clip id, in seconds


def read_audio(path: str | Path, rate: int) -> np.ndarray:
    """Read a file as mono (the mean of its channels) float32 (samples,), resampled to `rate` Hz.

    Raises UserError if it is missing, empty, truncated, not audio, or holds values that are not finite or
    above LOUDEST.
    """
    return np.concatenate(list(read_blocks(path, rate)))


def inspect(path: str | Path) -> tuple[float, str]:
    """Read a whole file; return its length in seconds and its fault.

    The length is 0 if the file cannot be read. The fault is the reason then, "silent" for a silent file, else "".
    """
    count, peak = 0, 0.0
    try:
        with opened(path) as sound:
            for block in sound.blocks:
                count += len(block)
                peak = max(peak, float(block.max()), -float(block.min()))
    except UserError as error:
        return 0.0, str(error).removeprefix(f"{path}: ").rsplit(" (", 1)[0]  # without the path and the advice in ()
    return count / sound.rate, "silent" if peak < HALF_STEP else ""


def duration(path: str | Path) -> float | None:
    """Return a file's length in seconds; None if its samples must be counted to know it (`counted_duration`).

    Raises:
        UserError: as `read_audio`, as far as headers show it.
    """
    with opened(path) as sound:
        return None if sound.frames is None else sound.frames / sound.rate


def counted_duration(path: str | Path) -> float:
    """Return a file's length in seconds, from its header if that is reliable, else by counting its samples.

    Raises:
        UserError: as `read_audio`, as far as was read.
    """
    with opened(path) as sound:
        frames = sum(map(len, sound.blocks)) if sound.frames is None else sound.frames
        return frames / sound.rate


def read_blocks(path: str | Path, rate: int | None, file: BinaryIO | None = None) -> Iterator[np.ndarray]:
    """Yield the samples that `read_audio` returns, block by block, in constant memory.

    Args:
        path: the recording.
        rate: Hz to resample to; None keeps the file's own.
        file: open file (seekable) to read instead, closed at the end; `path` then only names it in messages.

    Yields:
        (samples,) float32 mono.

    Raises:
        UserError: as `opened`.
    """
    with opened(path, file) as sound:
        yield from resampled(sound.blocks, sound.rate, rate or sound.rate)


@dataclass(frozen=True)
class Sound:
    """An open recording."""

    rate: int
    """sample rate in Hz"""
    frames: int | None
    """length in samples per channel; None if no header states it reliably"""
    blocks: Iterator[np.ndarray]
    """float32, mono (samples,), or (samples, channels) if opened with `channels`; at least one, and none empty"""


@contextmanager
def opened(path: str | Path, file: BinaryIO | None = None, *, channels: bool = False) -> Iterator[Sound]:
    """Open a recording.

    Args:
        path: the recording.
        file: open file (seekable) to read instead, closed at the end; `path` then only names it in messages.
        channels: keep the channels apart, except in chained Ogg, whose streams may differ in them: it is mixed to mono.

    Yields:
        The open recording.

    Raises:
        UserError: the file is missing or not audio; on reading its blocks, it is damaged, empty or not finite.
    """
    with ExitStack() as stack:
        with _explained(path):  # errors of opening only: those of the caller's block pass through `stack` unchanged
            sound = stack.enter_context(_decoded(path, file, channels))
        yield Sound(sound.rate, sound.frames, _explained_blocks(path, sound.blocks))


@contextmanager
def _decoded(path: str | Path, file: BinaryIO | None, channels: bool) -> Iterator[Sound]:
    """Open a recording as `opened` does, with the errors of libraries as they are."""
    if file is None:
        check_file(path)
    with file or Path(path).open("rb") as source:
        size = source.seek(0, 2)
        if size == 0:
            raise UserError(f"{path}: empty file (replace it)")
        try:
            with _by_libsndfile(str(path), source, size, channels) as sound:
                yield sound
        except _UnknownFormat:
            with foreign.decoding(str(path), source) as decoded:
                _check_rate(path, decoded.rate)
                yield Sound(decoded.rate, None, _checked(path, decoded.blocks, channels))


def _explained_blocks(path: str | Path, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    with _explained(path):
        yield from blocks


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    """Turn errors of opening and decoding a recording into UserErrors."""
    import soundfile

    try:
        with naming(path):
            yield
    except OSError as error:
        if error.filename not in (path, str(path)):  # about another file, such as a temporary copy
            raise
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise UserError(f"{path}: no such audio file (is its path right?)") from None
        if isinstance(error, PermissionError):
            raise UserError(f"{path}: permission denied (check its owner and mode)") from None
        if isinstance(error, IsADirectoryError):
            raise UserError(f"{path}: a folder, not an audio file (give a file)") from None
        raise
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path}: not audio that libsndfile reads: {_reason(error)} (replace the file)") from None


class _UnknownFormat(Exception):
    """The file's format is unknown to libsndfile."""


@contextmanager
def _by_libsndfile(path: str, source: BinaryIO, size: int, channels: bool) -> Iterator[Sound]:
    """Open a file with libsndfile; raise _UnknownFormat if libsndfile does not know the format."""
    files = _corrected(path, source, size)
    with _sound(files[0]) as first:
        rate = first.samplerate
        _check_rate(path, rate)
        frames = first.frames if len(files) == 1 and first.frames < UNKNOWN else None

        def blocks() -> Iterator[np.ndarray]:
            yield from _checked(path, _samples(path, first), channels and len(files) == 1)
            for file in files[1:]:  # the further streams of a chain, at the rate of the first
                with _sound(file) as sound:
                    _check_rate(path, sound.samplerate)
                    mono = _checked(path, _samples(path, sound), False)
                    yield from filter(len, resampled(mono, sound.samplerate, rate))

        yield Sound(rate, frames, blocks())


@contextmanager
def _sound(file: BinaryIO | View) -> Iterator[soundfile.SoundFile]:
    """Open a file with python-soundfile, to be read once from start to end.

    Raises _UnknownFormat if libsndfile does not know the format.
    """
    import soundfile

    if not isinstance(file, View):  # libsndfile may seek to negative positions, which only a View allows
        file = View(file, [(0, file.seek(0, 2))])

    class Forward(soundfile.SoundFile):
        """Reader from start to end: python-soundfile seeks after every block, which changes the samples of MP3."""

        def seekable(self) -> bool:
            return False

        def read(self, *args: Any, **how: Any) -> np.ndarray:
            with silent() if self.format == "MP3" else nullcontext():  # libmpg123 writes to standard error
                return super().read(*args, **how)

    head = file.read(4)
    file.seek(0)
    try:
        with silent() if head[:3] == b"ID3" or mpeg.frame_of(head) else nullcontext():
            sound = Forward(file)
    except soundfile.LibsndfileError as error:
        if error.code != UNRECOGNISED:  # damaged: must not be read in part by another decoder
            raise
        raise _UnknownFormat(_reason(error)) from None
    with sound:
        yield sound


def _corrected(path: str, source: BinaryIO, size: int) -> list[BinaryIO | View]:
    """Return what libsndfile reads completely: the file, under a corrected header if need be, or each stream of Ogg.

    Args:
        path: its name, for messages; the suffix is one of the signs of MPEG audio.
        source: the open file.
        size: its length in bytes.

    Raises:
        UserError: the file is truncated or has no samples, as far as its headers show it.
    """
    source.seek(0)
    head = source.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
        return [riff.open_wav(path, source, size)]
    if head[:4] == b"OggS":
        spans = ogg.links(path, source, size)
        return [View(source, [span]) for span in spans] if len(spans) > 1 else [source]
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        riff.check_aiff(path, source, size)
    elif head[:4] in (b".snd", b"dns."):
        riff.check_au(path, source, size)
    elif head[:4] == b"riff":
        return [riff.open_w64(path, source, size)]
    elif head[:4] == b"caff":
        return [riff.open_caf(path, source, size)]
    elif head[:4] == b"fLaC":
        return [flac.open_flac(path, source, size)]
    elif head[:3] == b"ID3" or mpeg.frame_of(head) is not None or path.lower().endswith((".mp3", ".mp2")):
        view = mpeg.open_mpeg(path, source, size)
        return [view or source]
    return [source]


def _check_rate(path: str | Path, rate: int) -> None:
    if not LOWEST <= rate <= HIGHEST:
        raise UserError(f"{path}: a sample rate of {rate} Hz in its header (replace the file)")


def _samples(path: str, sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield (samples, channels) block by block; raise UserError if there are fewer than the header states."""
    count, expected = 0, sound.frames
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
        count += len(block)
        yield block
    # MP3 may have fewer, since the decoder leaves out the encoder's delay; `mpeg.open_mpeg` has checked its length.
    if count < expected < UNKNOWN and sound.format != "MP3":
        raise UserError(f"{path}: truncated: {count} of {expected} samples (replace the file)")


def _checked(path: str | Path, blocks: Iterable[np.ndarray], channels: bool) -> Iterator[np.ndarray]:
    """Yield blocks (samples, channels) as they are or, without `channels`, as the mean of the channels (samples,).

    Raises UserError if there are no samples, or any is not finite or above LOUDEST.
    """
    empty = True
    for block in blocks:
        empty = empty and not len(block)
        if not channels:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
                block = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        if fault := fault_of(block):
            raise UserError(f"{path}: holds {fault} (replace the file)")
        if len(block):
            yield block
    if empty:
        raise UserError(f"{path}: no samples (replace the file)")


def fault_of(block: np.ndarray) -> str:
    """Return what is wrong with the values of samples, such as other bytes read as floating point; "" if nothing is."""
    if not np.isfinite(block).all():
        return "values that are not finite in float32"
    peak = float(np.abs(block).max(initial=0))
    return f"values of up to {peak:.1g}, where full scale is 1" if peak > LOUDEST else ""


def resampled(blocks: Iterable[np.ndarray], source: int, target: int) -> Iterator[np.ndarray]:
    """Resample mono blocks with a band-limited filter.

    Args:
        blocks: (samples,) each.
        source: their rate in Hz.
        target: the new rate in Hz.

    Yields:
        (samples,) blocks at the new rate.

    Raises:
        UserError: the blocks' rate is below LOWEST or above HIGHEST (it may be in kHz).
    """
    if not LOWEST <= source <= HIGHEST:
        raise UserError(f"rate {source}: out of range (in Hz, {LOWEST} to {HIGHEST})")
    if source == target:
        yield from map(np.ascontiguousarray, blocks)
        return
    import soxr

    stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def resample(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """Resample a waveform with a band-limited filter.

    Args:
        samples: (samples,) float32.
        source: its rate in Hz.
        target: the new rate in Hz.

    Returns:
        (samples,) float32 at the new rate.
    """
    if source == target:
        return np.ascontiguousarray(samples)
    import soxr

    return soxr.resample(samples, source, target, quality="HQ").astype(np.float32, copy=False)


def named_seconds(clip: str) -> float | None:
    """Return the seconds between the times in an AudioSet clip id: 10.0 for `Y..._350.000_360.000`; None without times.

    AudioSet's clips have at most 10 s. Numbers that differ by more than 60 are not taken for times (our choice).
    """
    found = _TIMES.search(clip)
    seconds = float(found[2]) - float(found[1]) if found else 0.0
    return round(seconds, 3) if 0 < seconds <= 60 else None


def _reason(error: Exception) -> str:
    """Return the last clause of an error's message, or the error's type if it has none."""
    text = str(error).strip().rstrip(".")
    return text.rsplit(": ", 1)[-1] if text else type(error).__name__
