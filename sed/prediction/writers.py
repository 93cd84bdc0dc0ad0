"""Predictions into files: which formats there are, one recording's sink, and names for the files."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sed.data.recordings import shown
from sed.data.scores import TIME_DECIMALS
from sed.errors import UserError
from sed.prediction.decisions import Detection
from sed.prediction.formats import (
    Audacity,
    EventTable,
    Format,
    JsonLines,
    LabelStudio,
    PosteriorCsv,
    Raven,
    SubRip,
    TextGrid,
    Tsv,
    WebVtt,
)
from sed.prediction.recording import BaseSink, Result
from sed.prediction.sources import place

FORMATS: dict[str, Format] = {
    "tsv": Tsv(),
    "jsonl": JsonLines(),
    "audacity": Audacity(),
    "csv": PosteriorCsv(),
    "vtt": WebVtt(),
    "srt": SubRip(),
    "events-tsv": EventTable(".events.tsv", "\t"),
    "events-csv": EventTable(".events.csv", ","),
    "raven": Raven(),
    "textgrid": TextGrid(),
    "labelstudio": LabelStudio(),
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

    Returns:
        The formats.

    Raises:
        UserError: a format is unknown, or something does not fit into one file.
    """
    for name in names:
        if name not in FORMATS:
            raise UserError(f"--format {name}: unknown (one of {', '.join(FORMATS)})")
    if together and len(names) > 1:
        raise UserError("several formats need --out-dir: one file each (or name one format)")
    if together and recordings > 1 and not FORMATS[names[0]].together:
        raise UserError(f"--format {names[0]}: no room for file names: one file per recording (give --out-dir)")
    return [FORMATS[name] for name in dict.fromkeys(names)]


def table_names(names: Sequence[str]) -> dict[str, str]:
    """Return the name of each recording in tables: its file's as far as that is unique, else from their folder on."""
    return _distinct(names, [lambda name: Path(name).name, _below(names, lambda name: shown(Path(name).name))])


def file_stems(names: Sequence[str]) -> dict[str, str]:
    """Return a file name, without suffix, for the outputs of each recording: its own as far as that is unique."""
    below = _below(names, lambda name: shown(Path(name).stem).casefold())
    forms = [lambda name: Path(name).stem, lambda name: Path(name).name, lambda name: below(name).replace("/", "_")]
    return _distinct(names, forms, key=str.casefold) | ({"-": "stdin"} if "-" in names else {})


def _distinct(
    names: Sequence[str], forms: Sequence[Callable[[str], str]], key: Callable[[str], str] = str
) -> dict[str, str]:
    """Return {name: the first of its forms, as tables show it, that is unique}; a number is added where none is.

    Args:
        names: recordings.
        forms: from the shortest to the longest.
        key: maps a form to what must be unique: some file systems ignore case.
    """
    chosen = {name: shown(forms[0](name)) for name in names}
    for form in forms[1:]:
        often = Counter(map(key, chosen.values()))
        chosen = {name: text if often[key(text)] == 1 else shown(form(name)) for name, text in chosen.items()}
    taken: set[str] = set()
    for name, text in chosen.items():
        numbers = (text if number == 1 else f"{text} ({number})" for number in itertools.count(1))
        chosen[name] = next(numbered for numbered in numbers if key(numbered) not in taken)
        taken.add(key(chosen[name]))
    return chosen


def _below(names: Sequence[str], short: Callable[[str], str]) -> Callable[[str], str]:
    """Return what names a recording relative to the folder that those of the same short name have in common."""
    alike: dict[str, list[Path]] = {}
    for name in names:
        alike.setdefault(short(name), []).append(place(name).parent)

    def below(name: str) -> str:
        return str(place(name).relative_to(os.path.commonpath(alike[short(name)])))

    return below
