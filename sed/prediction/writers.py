"""Predictions into files: which formats there are, one recording's sink, and names for the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sed.data.scores import TIME_DECIMALS
from sed.errors import UserError
from sed.prediction.decisions import Detection
from sed.prediction.formats import Audacity, Format, JsonLines, PosteriorCsv, Tsv, WebVtt
from sed.prediction.recording import BaseSink, Result

FORMATS: dict[str, Format] = {
    "tsv": Tsv(),
    "jsonl": JsonLines(),
    "audacity": Audacity(),
    "csv": PosteriorCsv(),
    "vtt": WebVtt(),
}


class FormatSink(BaseSink):
    """Writes one recording in one format to an open text file: posteriors as they come, events at its end.

    `live`: write events as soon as they are decided, flushed.
    """

    def __init__(self, file: IO[str], format: Format, name: str, *, frame_seconds: float, live: bool = False) -> None:
        self._file, self._format, self._name, self._live = file, format, name, live
        self._seconds, self._frame = frame_seconds, 0

    def posteriors(self, frames: np.ndarray) -> None:
        borders = np.round(np.arange(self._frame, self._frame + len(frames) + 1) * self._seconds, TIME_DECIMALS)
        self._file.write(self._format.posteriors(self._name, borders, frames))
        self._frame += len(frames)

    def detections(self, detections: Sequence[Detection]) -> None:
        if self._live:
            self._write(detections)
            self._file.flush()

    def finish(self, result: Result) -> None:
        if not self._live:
            self._write(result.detections)
        self._file.write(self._format.end(result))
        self._file.flush()

    def _write(self, detections: Sequence[Detection]) -> None:
        self._file.writelines(self._format.event(self._name, detection) for detection in detections)


def check_formats(names: Sequence[str], *, together: bool, recordings: int) -> list[Format]:
    """Return the formats of these names, each once.

    Args:
        names: formats as `--format` gives them.
        together: all recordings go into one file.
        recordings: how many there are.

    Raises:
        UserError: a format is unknown, or something does not fit into one file.
    """
    for name in names:
        if name not in FORMATS:
            raise UserError(f"--format {name}: unknown (one of {', '.join(FORMATS)})")
    if together and len(names) > 1:
        raise UserError("several formats need --out-dir: one file each")
    if together and recordings > 1 and not FORMATS[names[0]].together:
        raise UserError(f"--format {names[0]}: no room for file names: one file per recording (give --out-dir)")
    return [FORMATS[name] for name in dict.fromkeys(names)]


def file_stems(names: Sequence[str]) -> dict[str, str]:
    """A file name, without suffix, for the outputs of each recording: its own as far as that is unique."""
    stems = {name: "stdin" if name == "-" else Path(name).stem for name in names}
    for longer in (lambda name: Path(name).name, lambda name: name.strip("./").replace("/", "_")):
        often = Counter(stems.values())
        stems = {name: stem if often[stem] == 1 else longer(name) for name, stem in stems.items()}
    return stems
