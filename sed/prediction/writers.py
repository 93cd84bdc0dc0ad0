"""Formats of what is predicted: DESED's TSV, JSON lines, Audacity labels, WebVTT, and posteriors as CSV."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sed.data.scores import TIME_DECIMALS
from sed.data.tables import EVENT_COLUMNS
from sed.errors import UserError
from sed.prediction.decisions import Detection
from sed.prediction.recording import BaseSink, Result

SUFFIXES = {"tsv": ".tsv", "jsonl": ".jsonl", "audacity": ".txt", "csv": ".csv", "vtt": ".vtt"}
SINGLE = ("audacity", "vtt")
"""formats that have no place for a recording's name: one file each"""


def header(format: str, labels: Sequence[str]) -> str:
    """What a file of this format begins with."""
    if format == "tsv":
        return "\t".join(EVENT_COLUMNS) + "\n"
    if format == "csv":
        return _row(["filename", "onset", "offset", *labels])
    return "WEBVTT\n" if format == "vtt" else ""


def lines(format: str, name: str, detections: Sequence[Detection]) -> str:
    """The events of recording `name`, in the order given; nothing for `csv`, which has posteriors."""
    return "".join(_line(format, name, detection) for detection in detections)


def _line(format: str, name: str, detection: Detection) -> str:
    onset, offset, label = detection.event
    if format == "tsv":
        return f"{Path(name).name}\t{onset:.3f}\t{offset:.3f}\t{label}\n"
    if format == "jsonl":
        score = round(detection.score, 4)
        fields = {"filename": name, "onset": onset, "offset": offset, "label": label, "score": score}
        return json.dumps(fields, ensure_ascii=False) + "\n"
    if format == "audacity":
        return f"{onset:.6f}\t{offset:.6f}\t{label}\n"
    if format == "vtt":
        text = label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"\n{_vtt_time(onset)} --> {_vtt_time(offset)}\n{text}\n"
    return ""


def _vtt_time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def _row(values: Sequence[object]) -> str:
    class Line:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

    line = Line()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.text


class FormatSink(BaseSink):
    """Writes one recording in one format to an open text file, at its end (posteriors as they come).

    `live`: write events as soon as they are decided, flushed.
    """

    def __init__(self, file: IO[str], format: str, name: str, *, frame_seconds: float, live: bool = False) -> None:
        self._file, self._format, self._name, self._live = file, format, name, live
        self._seconds, self._frame = frame_seconds, 0

    def posteriors(self, frames: np.ndarray) -> None:
        if self._format != "csv":
            return
        borders = np.round(np.arange(self._frame, self._frame + len(frames) + 1) * self._seconds, TIME_DECIMALS)
        for onset, offset, row in zip(borders[:-1], borders[1:], frames, strict=True):
            numbers = (f"{value:.6g}" for value in row.tolist())
            self._file.write(_row([self._name, f"{onset:.10g}", f"{offset:.10g}", *numbers]))
        self._frame += len(frames)

    def detections(self, detections: Sequence[Detection]) -> None:
        if self._live:
            self._file.write(lines(self._format, self._name, detections))
            self._file.flush()

    def finish(self, result: Result) -> None:
        if not self._live:
            self._file.write(lines(self._format, self._name, result.detections))
        self._file.flush()


def check_together(format: str, recordings: int) -> None:
    """UserError when several recordings cannot go into one file of this format."""
    if format in SINGLE and recordings > 1:
        raise UserError(f"--format {format}: no room for file names: one file a recording (give --out-dir)")


def file_stems(names: Sequence[str]) -> dict[str, str]:
    """A file name, without suffix, for the outputs of each recording: its own as far as that is unique."""
    stems = {name: "stdin" if name == "-" else Path(name).stem for name in names}
    for longer in (lambda name: Path(name).name, lambda name: name.strip("./").replace("/", "_")):
        often = Counter(stems.values())
        stems = {name: stem if often[stem] == 1 else longer(name) for name, stem in stems.items()}
    return stems
