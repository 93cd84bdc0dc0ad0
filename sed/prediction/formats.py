"""Formats of what is predicted: DESED's TSV, JSON lines, Audacity labels, WebVTT, and posteriors as CSV.

A new format is a class with what `Format` asks for, and its entry in `writers.FORMATS`.
"""
# ruff: noqa: ARG002 (a format is given what another needs)

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from sed.data.tables import EVENT_COLUMNS, event_row
from sed.prediction.decisions import Detection
from sed.prediction.recording import Result


class Format(Protocol):
    """How one kind of file shows recordings. Every method returns the text to append next; formats keep no state."""

    suffix: str
    together: bool = True
    """whether one file may hold several recordings: there is a place for their names"""
    short: bool = False
    """whether recordings are named as DESED's tables do, by their files' names, not by the paths that were given"""

    def header(self, labels: Sequence[str]) -> str:
        """Begin a file."""
        return ""

    def posteriors(self, name: str, borders: np.ndarray, posteriors: np.ndarray) -> str:
        """Frames of recording `name`: posteriors (n, classes), borders (n + 1,) of the frames in seconds."""
        return ""

    def event(self, name: str, detection: Detection) -> str:
        """An event of recording `name`."""
        return ""

    def end(self, result: Result) -> str:
        """End a recording whose events were all given."""
        return ""


class Tsv(Format):
    """DESED's columns."""

    suffix, short = ".tsv", True

    def header(self, labels: Sequence[str]) -> str:
        return "\t".join(EVENT_COLUMNS) + "\n"

    def event(self, name: str, detection: Detection) -> str:
        return "\t".join(event_row(name, detection.event)) + "\n"


class JsonLines(Format):
    """One object per event, with the mean posterior of its label over it."""

    suffix = ".jsonl"

    def event(self, name: str, detection: Detection) -> str:
        fields = {"filename": name, **detection.event._asdict(), "score": round(detection.score, 4)}
        return json.dumps(fields, ensure_ascii=False) + "\n"


class Audacity(Format):
    """A label track."""

    suffix, together = ".txt", False

    def event(self, name: str, detection: Detection) -> str:
        return "{:.6f}\t{:.6f}\t{}\n".format(*detection.event)


class PosteriorCsv(Format):
    """One row per frame with the posteriors of all labels; no events."""

    suffix = ".csv"

    def header(self, labels: Sequence[str]) -> str:
        return self._rows([["filename", "onset", "offset", *labels]])

    def posteriors(self, name: str, borders: np.ndarray, posteriors: np.ndarray) -> str:
        times = [f"{time:.10g}" for time in borders.tolist()]
        numbers = ([f"{value:.6g}" for value in row] for row in posteriors.tolist())
        return self._rows([name, *frame, *row] for *frame, row in zip(times[:-1], times[1:], numbers, strict=True))

    def _rows(self, rows: Iterable[Sequence[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()


class WebVtt(Format):
    """Subtitles for a player."""

    suffix, together = ".vtt", False

    def header(self, labels: Sequence[str]) -> str:
        return "WEBVTT\n"

    def event(self, name: str, detection: Detection) -> str:
        onset, offset, label = detection.event
        text = label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"\n{self._time(onset)} --> {self._time(offset)}\n{text}\n"

    def _time(self, seconds: float) -> str:
        minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
