"""Formats that libsndfile does not read, such as m4a and webm, decoded by ffmpeg, or by PyAV without an ffmpeg."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from sed.errors import UserError

REMEDY = "install ffmpeg, or convert it: ffmpeg -i IN OUT.wav"
BLOCK = 1 << 18  # bytes read from ffmpeg at a time


@dataclass(frozen=True)
class Decoded:
    """The first audio stream of a file: its rate, Hz, and blocks (samples, channels) float32."""

    rate: int
    blocks: Iterator[np.ndarray]


@contextmanager
def decoding(path: str, file: BinaryIO) -> Iterator[Decoded]:
    """Decode the first audio stream of a file; the decoder ends with the `with` block.

    Args:
        path: the name for messages.
        file: the open file, seekable.

    Yields:
        The stream, which is decoded while its blocks are read.

    Raises:
        UserError: there is no decoder, no audio, or the file is damaged; the last also while blocks are read.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is not None:
        with _named(file) as name, _by_ffmpeg(ffmpeg, path, name) as decoded:
            yield decoded
    elif importlib.util.find_spec("av") is not None:
        with _by_pyav(path, file) as decoded:
            yield decoded
    else:
        raise UserError(f"{path}: not audio that libsndfile reads ({REMEDY})")


@contextmanager
def _named(file: BinaryIO) -> Iterator[str]:
    """Yield a path that ffmpeg can open: the open file's own, else that of a temporary copy."""
    name = getattr(file, "name", None)
    if isinstance(name, str | os.PathLike) and Path(name).is_file():
        yield str(Path(name).absolute())
        return
    with tempfile.NamedTemporaryFile() as copy:
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.flush()
        yield copy.name


@contextmanager
def _by_ffmpeg(ffmpeg: str, path: str, name: str) -> Iterator[Decoded]:
    """Decode the file `name` in a process of `ffmpeg` that writes WAV to a pipe; `path` is its name in messages."""
    command = [ffmpeg, "-nostdin", "-v", "error", "-xerror", "-i", f"file:{name}", "-map", "0:a:0"]
    command += ["-c:a", "pcm_f32le", "-f", "wav", "-"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None

        def refuse() -> UserError:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").splitlines()
            why = lines[-1].split(f"file:{name}: ")[-1].strip() if lines else "no audio"
            return UserError(f"{path}: not audio that ffmpeg reads: {why} (replace the file)")

        def succeeded() -> bool:  # no message either: ffmpeg may report damage and still exit with 0
            return process.wait() == 0 and errors.seek(0, 2) == 0

        try:
            head = _header(process.stdout)
            if head is None:
                process.wait()  # its messages are complete then
                raise refuse()
            rate, channels = head

            def blocks() -> Iterator[np.ndarray]:
                assert process.stdout is not None
                rest = b""
                while data := process.stdout.read(BLOCK):
                    data = rest + data
                    whole = len(data) // (4 * channels) * 4 * channels  # bytes of whole frames of float32
                    rest = data[whole:]
                    yield np.frombuffer(data[:whole], "<f4").reshape(-1, channels)
                if not succeeded():
                    raise refuse()

            yield Decoded(rate, blocks())
        finally:
            process.kill()


def _header(stream: IO[bytes]) -> tuple[int, int] | None:
    """Read a WAV header up to its samples and return (rate in Hz, channels); None if it is not one."""
    if stream.read(12)[8:] != b"WAVE":
        return None
    rate = channels = 0
    while len(chunk := stream.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return (rate, channels) if channels else None
        content = stream.read(length + length % 2)
        if chunk[:4] == b"fmt ":
            channels, rate = int.from_bytes(content[2:4], "little"), int.from_bytes(content[4:8], "little")
    return None


@contextmanager
def _by_pyav(path: str, file: BinaryIO) -> Iterator[Decoded]:
    """Decode a file in this process; `path` is its name in messages."""
    import av

    file.seek(0)
    try:
        with av.open(file, mode="r") as container:
            if not container.streams.audio:
                raise UserError(f"{path}: no audio in it (replace the file)")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")  # converts to float32; the rate stays

            def blocks() -> Iterator[np.ndarray]:
                try:
                    for frame in container.decode(stream):
                        for converted in resampler.resample(frame):
                            yield converted.to_ndarray().T
                except av.FFmpegError as error:
                    raise UserError(f"{path}: damaged: {error.strerror} (replace the file)") from None

            yield Decoded(int(stream.rate), blocks())
    except av.FFmpegError as error:
        raise UserError(f"{path}: not audio: {error.strerror} (replace the file)") from None
