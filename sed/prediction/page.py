"""A self-contained HTML page of recordings: audio player, log-mel, posteriors and events on a common time axis.

Memory is bounded for recordings of any length: log-mel and posteriors of more than a number of columns are halved in
time resolution, and audio goes through a temporary file. The page loads nothing from the network, and shows names and
labels as plain text, never as HTML.
"""

from __future__ import annotations

import base64
import json
import logging
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import soundfile

from sed.prediction.recording import BaseSink, Result

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing

logger = logging.getLogger("sed.predict")

COLUMNS = 1 << 17
"""largest number of columns (time steps) of a recording's log-mel; beyond it, pairs of columns are averaged"""
LEVELS = 1 << 22
"""largest number of posteriors of a recording, over all classes; beyond it, the higher of two columns is kept"""
SHADES = 32
"""number of colours of a picture: more cannot be distinguished by eye, and take more space"""
FINEST = 0.02
"""length in seconds of a column of posteriors, rounded to a whole number of frames, at least one"""
TILE = 4096
"""columns per image: a recording's picture consists of such images side by side"""
WAV_SECONDS = 2
"""recordings of more seconds are embedded as MP3 instead of WAV, so that a page takes less than 1 MB per minute; at
rates that MP3 lacks they stay WAV. Shorter ones are small as WAV, too (64 KB at 16 kHz). The page decodes MP3 again"""
SUPPRESSED = 0.5
"""a label is noted as suppressed from this many seconds on; what filters trim from events' borders is shorter"""
PICTURE_RATE = 4300
"""largest size of a picture in bytes per second of audio, so that a page takes less than 1 MB per minute; a larger one
(rain, wind) gets columns of twice the length"""


class Shrinking:
    """A sequence of columns (time steps); when it exceeds `limit`, `pool` reduces each pair of columns to one."""

    def __init__(self, limit: int, seconds: float, pool: Any, finest: float = 0.0) -> None:
        """
        Args:
            limit: largest number of columns.
            seconds: length of a column that is added.
            pool: reduces several columns to one along an axis, such as np.mean.
            finest: length in seconds of a kept column before any reduction, rounded to a whole number of added ones, at
                least one.
        """
        self._factor = max(1, round(finest / seconds))  # added columns per kept column
        self.seconds, self._pool, self._limit = self._factor * seconds, pool, limit
        self._parts: list[np.ndarray] = []
        self._rest: np.ndarray | None = None  # added columns that do not make up a kept one yet
        self._count = 0  # number of kept columns

    def add(self, columns: np.ndarray) -> None:
        """Append float columns (n, rows) of the original length."""
        if self._rest is not None:
            columns = np.concatenate([self._rest, columns])
        whole = len(columns) // self._factor * self._factor
        self._rest = columns[whole:].copy()
        self._keep(columns[:whole].reshape(-1, self._factor, columns.shape[1]))

    def _keep(self, groups: np.ndarray) -> None:
        if len(groups):
            self._parts.append(self._pool(groups, axis=1).astype(np.float16))
            self._count += len(groups)
        while self._count > self._limit:
            joined = np.concatenate(self._parts)
            even = len(joined) // 2 * 2
            pooled = self._pool(joined[:even].reshape(-1, 2, joined.shape[1]), axis=1).astype(np.float16)
            if even < len(joined):  # put the odd column back to the rest, repeated as often as it has added columns
                back = np.repeat(joined[even:].astype(np.float32), self._factor, axis=0)
                self._rest = back if self._rest is None else np.concatenate([back, self._rest])
            self._parts, self._count = [pooled], len(pooled)
            self._factor *= 2
            self.seconds *= 2

    def array(self) -> np.ndarray:
        """Return all columns so far (n, rows); the last may cover less time than the others."""
        rest = self._rest
        parts = list(self._parts)
        if rest is not None and len(rest):
            parts.append(self._pool(rest[None], axis=1).astype(np.float16))
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float16)


class Page:
    """Writer of the page, recording after recording, to an open text file; `about`: the line that explains the page."""

    def __init__(self, file: IO[str], about: str) -> None:
        page, editing = (_beside(name) for name in ("page.html", "page_editing.js"))
        head, self._tail = page.replace("/* editing */\n", editing).split("<!-- data -->")
        self._file, self._count = file, 0
        file.write(head)
        self._json("about-data", {"about": about})

    def add(self, info: dict[str, Any], tiles: Sequence[bytes], levels: bytes, audio: IO[bytes] | None) -> None:
        """Add a recording.

        Args:
            info: the recording's facts, as page.html reads them.
            tiles: its log-mel as PNG images, in order of time.
            levels: its posteriors, one byte each (see `PageSink._levels`).
            audio: its encoded audio; None to leave it out.
        """
        number = self._count
        self._count += 1
        for i, tile in enumerate(tiles):
            self._block(f"tile-{i}-{number}", _base64_of([tile]))
        self._block(f"posteriors-{number}", _base64_of([levels]))
        if audio is not None:
            self._block(f"audio-{number}", _base64_of(iter(lambda: audio.read(3 << 16), b"")))
        self._json(f"info-{number}", info)

    def close(self, advice: str = "", found: Mapping[str, str] | None = None, unread: Sequence[str] = ()) -> None:
        """Write the page's end.

        Args:
            advice: that of `sed.prediction.nearest.Nearest`: if no recording has an event, which options give some.
            found: that of `Nearest`: {name of a recording: the options and events in it}.
            unread: lines on the recordings that are not on the page, since they could not be read.
        """
        self._json("advice-data", {"advice": advice, "found": found or {}, "unread": list(unread)})
        self._file.write(self._tail)

    def _json(self, name: str, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026")
        self._block(name, [text], "application/json")

    def _block(self, name: str, parts: Any, kind: str = "text/plain") -> None:
        """Write text as the content of a script element, which browsers neither run nor show; `name`: its id."""
        self._file.write(f'<script type="{kind}" id="{name}">')
        for text in parts:
            self._file.write(text)
        self._file.write("</script>\n")


def legend(post: PostProcessing) -> str:
    """Return what the page's curves, lines and numbers are."""
    steps = ", then ".join(f"{step.title} ({step.meaning})" for step in post.steps)
    capped = any(step.needs_clip for step in post.steps)
    return (
        f"Curves: posteriors{f' after {steps}' * bool(steps)}. Dotted: thresholds; an event is where a curve is above "
        f"its threshold{', so a curve that weak masking keeps on the line is none' * capped}. Number of an event: mean "
        f"posterior over it{', before post-processing, which may be below the threshold' * bool(steps)}. "
        "The words are explained in the manual's glossary (docs/own-sounds.md)."
    )


def _beside(name: str) -> str:
    """Return the text of a file in this folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


class PageSink(BaseSink):
    """Sink that collects the content of one recording, and adds it to the page at the recording's end."""

    uses_logmel = True

    def __init__(
        self,
        page: Page,
        *,
        rate: int,
        feature_seconds: float,
        frame_seconds: float,
        labels: Sequence[str],
        thresholds: Sequence[float],
        hertz: Sequence[float] | None = None,
        audio: bool = True,
        file: str = "",
    ) -> None:
        """
        Args:
            page: where the recording is added.
            rate: sampling rate of the audio in Hz.
            feature_seconds: time from one frame of the log-mel to the next.
            frame_seconds: length of a frame of the posteriors.
            labels: the classes.
            thresholds: decision threshold of each class.
            hertz: centre of each mel bin in Hz; None: no frequency axis.
            audio: put the audio into the page.
            file: the recording's file name in exported tables; empty: the last component of its name.
        """
        self._file = file
        self._page, self._rate, self._labels, self._thresholds = page, rate, list(labels), list(thresholds)
        self._with_audio, self._hertz = audio, None if hertz is None else [round(float(f), 1) for f in hertz]
        self._logmel = Shrinking(COLUMNS, feature_seconds, np.mean)
        self._posteriors = Shrinking(LEVELS // max(1, len(self._labels)), frame_seconds, np.max, finest=FINEST)
        self._audio = tempfile.TemporaryFile()  # noqa: SIM115
        self._samples = 0

    def audio(self, samples: np.ndarray) -> None:
        """Append mono float32 samples."""
        self._samples += len(samples)
        self._audio.write((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())

    def logmel(self, frames: np.ndarray) -> None:
        """Append log-mel (n, bins), not normalised."""
        self._logmel.add(np.asarray(frames, np.float32))

    def processed(self, frames: np.ndarray) -> None:
        """Append post-processed frame posteriors (n, classes): a curve above its threshold is then an event."""
        self._posteriors.add(np.asarray(frames, np.float32))

    def finish(self, result: Result) -> None:
        column, tiles, columns = self._picture()
        seconds, levels = self._levels()
        index = {label: k for k, label in enumerate(self._labels)}
        tags = result.tags.tolist() if result.tags is not None else []
        info = {
            "name": result.name,
            "file": self._file or result.name.rsplit("/", 1)[-1],
            "duration": self._samples / self._rate,
            "rate": self._rate,
            "labels": self._labels,
            "thresholds": [float(t) for t in self._thresholds],
            "column_seconds": seconds,
            "hertz": self._hertz,
            "suppressed": self._suppressed(result),
            "tags": [label for label, p, t in zip(self._labels, tags, self._thresholds, strict=False) if p > t],
            "tiles": [
                {"index": i, "from": i * TILE * column, "to": min((i + 1) * TILE, columns) * column}
                for i in range(len(tiles))
            ],
            "events": [
                [round(e.onset, 3), round(e.offset, 3), index[e.label], round(score, 4)]
                for e, score in result.detections
            ],
        }
        if self._with_audio:
            info["audio"], encoded = self._encoded_audio()
            with encoded:
                self._page.add(info, tiles, levels, encoded)
        else:
            self._page.add(info, tiles, levels, None)
        self._audio.close()

    def abandon(self) -> None:
        self._audio.close()

    def _suppressed(self, result: Result) -> list[tuple[str, float]]:
        """Return (label, seconds) for labels above their threshold before post-processing but not after it.

        Labels with less than SUPPRESSED seconds are left out.
        """
        seconds = [] if result.suppressed is None else result.suppressed.tolist()
        return [(label, round(s, 1)) for label, s in zip(self._labels, seconds, strict=False) if s >= SUPPRESSED]

    def _encoded_audio(self) -> tuple[str, IO[bytes]]:
        """Return the audio as (MIME type, open temporary file)."""
        self._audio.seek(0)
        out = tempfile.TemporaryFile()  # noqa: SIM115
        short = self._samples <= WAV_SECONDS * self._rate
        if self._samples > 600 * self._rate:
            logger.info("encoding %.0f minutes of audio for the page", self._samples / self._rate / 60)
        # MP3 has only the rates listed below. At 16 kHz the compression levels mean 48 kbit/s, and 24 kbit/s for more
        # than ten minutes, so that an hour takes about 15 MB of the page.
        options: dict[str, Any] = {"format": "WAV", "subtype": "PCM_16"}
        if not short and self._rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000):
            options = {
                "format": "MP3",
                "subtype": "MPEG_LAYER_III",
                "bitrate_mode": "CONSTANT",
                "compression_level": 0.75 if self._samples <= 600 * self._rate else 0.9,
            }
        with soundfile.SoundFile(out, "w", samplerate=self._rate, channels=1, **options) as sound:
            while block := self._audio.read(1 << 18):
                sound.write(np.frombuffer(block, "<i2"))
        out.seek(0)
        return ("audio/wav" if options["format"] == "WAV" else "audio/mpeg"), out

    def _picture(self) -> tuple[float, list[bytes], int]:
        """Return seconds per column, the log-mel as PNG tiles, and the number of columns."""
        logmel, seconds = self._logmel.array().astype(np.float32), self._logmel.seconds
        if not logmel.size:
            return seconds, [], 0
        tiles = _tiles(logmel)
        # Recordings shorter than 10 s may have pictures as large as those of 10 s.
        while sum(map(len, tiles)) > PICTURE_RATE * max(10, len(logmel) * seconds):
            even = len(logmel) // 2 * 2
            logmel, seconds = logmel[:even].reshape(-1, 2, logmel.shape[1]).mean(1), 2 * seconds
            tiles = _tiles(logmel)
        return seconds, tiles, len(logmel)

    def _levels(self) -> tuple[float, bytes]:
        """Return the seconds per column, and the posteriors (columns, classes) as bytes: 255 is a posterior of 1."""
        array = np.clip(self._posteriors.array().astype(np.float32), 0, 1)
        return self._posteriors.seconds, np.round(array * 255).astype(np.uint8).tobytes()


def _tiles(logmel: np.ndarray) -> list[bytes]:
    """Draw log-mel (columns, bins) as PNG images of at most TILE columns, low frequencies at the bottom."""
    # Colours span these percentiles (our choice), estimated from fewer than 8000 columns.
    low, high = np.percentile(logmel[:: max(1, len(logmel) // 4000)], [2, 99.7])
    level = (np.clip((logmel - low) / max(high - low, 1e-6), 0, 1) * (SHADES - 1)).round() * (255 // (SHADES - 1))
    level = level.astype(np.uint8).T[::-1]
    return [png(level[:, i : i + TILE]) for i in range(0, level.shape[1], TILE)]


def _base64_of(parts: Any) -> Iterator[str]:
    """Yield blocks of bytes as Base64; all except the last must have a multiple of three bytes, to need no padding."""
    for block in parts:
        yield base64.b64encode(block).decode()


def png(level: np.ndarray) -> bytes:
    """Return a PNG of (height, width) uint8 levels with a perceptually uniform palette (matplotlib's magma)."""
    height, width = level.shape
    # Every line begins with its PNG filter. 2 stores differences from the line above: a tenth smaller than 0 (none).
    lines = np.full((height, width + 1), 2, np.uint8)
    lines[:, 1:] = np.diff(level, axis=0, prepend=np.zeros((1, width), np.uint8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits per pixel, an index in the palette
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", palette())
        + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


def palette() -> bytes:
    """Return 256 RGB colours from dark to light, interpolated between nine of magma's."""
    marks = [0x000004, 0x1D1147, 0x51127C, 0x832681, 0xB73779, 0xE75263, 0xFC8961, 0xFEC488, 0xFCFDBF]
    rgb = np.array([[m >> 16, m >> 8 & 255, m & 255] for m in marks], float)
    at = np.linspace(0, len(marks) - 1, 256)
    return (
        np.stack([np.interp(at, range(len(marks)), rgb[:, c]) for c in range(3)], 1).round().astype(np.uint8).tobytes()
    )
