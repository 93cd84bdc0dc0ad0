"""Output of predictions: the table of formats, the sink that writes a recording, and names of output files."""

from __future__ import annotations

import argparse
import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sed import config
from sed.data.recordings import SUFFIXES, shown
from sed.data.scores import TIME_DECIMALS
from sed.data.tables import audio_stem
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
MODELS = (".pt", ".pth", ".safetensors", ".onnx")
"""suffixes of files with the weights of models"""


def output_file(text: str) -> Path:
    """Convert an option's text to the path of a file to write; refuse a recording (as `--out *.wav`) or model."""
    path = config.output_file(text)
    for what, suffixes in (("recording", SUFFIXES), ("model", MODELS)):
        if path.suffix.lower() in suffixes and path.exists():
            raise argparse.ArgumentTypeError(f"{path}: a {what}, which the output would replace (give another name)")
    return path


class FormatSink(BaseSink):
    """Sink that writes one recording in one format: posteriors as they come, events at the end."""

    def __init__(self, file: IO[str], format: Format, name: str, *, frame_seconds: float, live: bool = False) -> None:
        """
        Args:
            file: open text file, which has the format's header already.
            format: the format.
            name: name of the recording in the file.
            frame_seconds: length of a frame of the posteriors.
            live: write events as soon as they are decided, and flush these and posteriors.
        """
        self._file, self._format, self._name, self._live = file, format, name, live
        self._seconds, self._frame = frame_seconds, 0  # length of a frame; number of frames written

    def posteriors(self, frames: np.ndarray) -> None:
        borders = np.round(np.arange(self._frame, self._frame + len(frames) + 1) * self._seconds, TIME_DECIMALS)
        self._file.write(self._format.posteriors(self._name, borders, frames))
        self._frame += len(frames)
        if self._live:
            self._file.flush()

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


def check_formats(names: Sequence[str], *, together: bool, recordings: int, option: str = "--format") -> list[Format]:
    """Return the formats with these names, each once.

    Args:
        names: names of formats, as in `option`.
        together: whether all recordings go into one file.
        recordings: number of recordings.
        option: the command's option that names the formats, for messages.

    Returns:
        The formats.

    Raises:
        UserError: a format is unknown, or one file cannot hold several formats or recordings.
    """
    for name in names:
        if name not in FORMATS:
            raise UserError(f"{option} {name}: unknown (one of {', '.join(FORMATS)})")
    if together and len(names) > 1:
        raise UserError("several formats need --out-dir: one file each (or name one format)")
    if together and recordings > 1 and not FORMATS[names[0]].together:
        raise UserError(f"{option} {names[0]}: no room for file names: one file per recording (give --out-dir)")
    return [FORMATS[name] for name in dict.fromkeys(names)]


def table_names(names: Sequence[str]) -> dict[str, str]:
    """Return {recording: its name in tables}: the file name if it is unique, else the path below the common folder."""
    return _distinct(names, [lambda name: Path(name).name, _below(names, lambda name: shown(Path(name).name))])


def file_stems(names: Sequence[str]) -> dict[str, str]:
    """Return {recording: name of its output files without suffix}: the recording's name without a suffix of audio.

    If several have it, the file name with its suffix, else the path below the common folder with `_` for `/`. Standard
    input is named `stdin`. What follows the last dot in `Yx_350.000_360.000`, as label files name recordings, is no
    suffix.
    """

    def path(name: str) -> Path:
        return Path("stdin" if name == "-" else name)

    def stem(name: str) -> str:
        return audio_stem(path(name).name)

    below = _below(names, lambda name: stem(name).casefold())
    forms = [stem, lambda name: path(name).name, lambda name: below(name).replace("/", "_")]
    return _distinct(names, forms, key=str.casefold)


def _distinct(
    names: Sequence[str], forms: Sequence[Callable[[str], str]], key: Callable[[str], str] = str
) -> dict[str, str]:
    """Return {recording: the first of its forms that is unique}; if none is, a number is added.

    Args:
        names: recordings.
        forms: functions that return a form of a recording's name, from the shortest to the longest.
        key: maps forms that must not both occur to the same text: some file systems ignore case.
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
    """Return a function that returns a recording's path below the common folder of all with the same short name."""
    alike: dict[str, list[Path]] = {}
    for name in names:
        alike.setdefault(short(name), []).append(place(name).parent)

    common = {text: os.path.commonpath(folders) for text, folders in alike.items()}

    def below(name: str) -> str:
        return str(place(name).relative_to(common[short(name)]))

    return below
