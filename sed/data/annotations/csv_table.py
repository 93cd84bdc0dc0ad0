"""Tables with named columns, separated by commas, semicolons or tabs; unknown columns are skipped.

The DCASE baselines' predictions, spreadsheets and most annotation tools' exports are such tables. Without a column of
recordings by name, that one is taken whose first field is an audio file; without such a one, the table belongs to the
recording of its name.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, recording_of, seconds_text
from sed.data.recordings import SUFFIXES
from sed.data.tables import number
from sed.errors import UserError

NAMES: Mapping[str, Sequence[str]] = {
    "recording": ("filename", "file", "file name", "file_name", "audio", "audio_file", "audio_filename", "recording",
                  "path", "filepath", "file path", "file_path", "fname", "wav", "clip", "begin file", "source_file"),
    "onset": ("onset", "start", "start_time", "start time", "begin", "begin_time", "begin time", "start (s)",
              "start_s", "start_seconds", "begin time (s)", "onset_s", "onset (s)", "tmin", "from"),
    "offset": ("offset", "end", "end_time", "end time", "stop", "stop_time", "end (s)", "end_s", "end_seconds",
               "end time (s)", "offset_s", "offset (s)", "stop_s", "stop_seconds", "tmax", "to"),
    "duration": ("duration", "length", "duration_s", "duration (s)"),
    "label": ("event_label", "label", "event", "class", "annotation", "event_class", "category", "species", "tag",
              "common name", "sound_event", "text", "name"),
}  # fmt: skip
"""accepted names of each column, case-insensitive, the preferred one first"""


class CsvTable:
    """Reader of tables with a header."""

    name = "a table"

    def recognises(self, text: str) -> bool:
        """Return whether the header names an onset, an end and a label, or at least a recording and an onset."""
        columns = _columns(_header(text))
        return not _missing(columns) or {"recording", "onset"} <= set(columns)

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the rows."""
        header = _header(text)
        columns = _columns(header)
        if missing := _missing(columns):
            raise UserError(f"{path}:1: no column of {missing} (the header has {', '.join(header)})")
        rows = _rows(path, header, text)
        for line, fields in itertools.islice(rows, 1):
            if "recording" not in columns:
                columns |= _column_of_files(fields)
            rows = itertools.chain([(line, fields)], rows)
        for line, fields in rows:
            row = {key: fields[place] for key, place in columns.items()}
            yield _annotation(path, line, {"recording": recording_of(path)} | row)


def _rows(path: Path, header: Sequence[str], text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, a field per column) of the rows below the header."""
    rows = csv.reader(text.splitlines(), delimiter=_separator(text))
    for fields in rows:
        line = rows.line_num
        if line == 1 or not any(field.strip() for field in fields):
            continue
        if len(fields) > len(header):
            raise UserError(f"{path}:{line}: {len(fields)} fields under {len(header)} columns (correct the row)")
        yield line, [field.strip() for field in fields] + [""] * (len(header) - len(fields))


def _annotation(path: Path, line: int, row: Mapping[str, str]) -> Annotation:
    if not row["recording"]:
        raise UserError(f"{path}:{line}: no file name (every row needs one)")
    if not any(row.get(key) for key in ("onset", "offset", "duration", "label")):
        return Annotation(line, row["recording"], None)
    end = row.get("offset", "")
    if "offset" not in row:
        begin, length = (number(f"{path}:{line}", key, row[key].replace(",", ".")) for key in ("onset", "duration"))
        end = seconds_text(begin + length)
    return annotation(path, line, row["recording"], row["onset"], end, row["label"])


def _separator(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max("\t;,", key=header.count)


def _header(text: str) -> list[str]:
    rows = csv.reader(text.splitlines()[:1], delimiter=_separator(text))
    return [field.strip() for field in next(rows, [])]


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Return {what a column holds: its place}."""
    lower = [field.casefold() for field in header]
    return {
        key: lower.index(next(name for name in names if name in lower))
        for key, names in NAMES.items()
        if any(name in lower for name in names)
    }


def _column_of_files(fields: Sequence[str]) -> dict[str, int]:
    """Return the place of the first field that names an audio file, if any, as `_columns` does."""
    places = [place for place, field in enumerate(fields) if Path(field).suffix.lower() in SUFFIXES]
    return {"recording": places[0]} if places else {}


def _missing(columns: Mapping[str, int]) -> str:
    wanted = {"onsets": "onset", "labels": "label"}
    lacking = [what for what, key in wanted.items() if key not in columns]
    lacking += ["ends or durations"] * ("offset" not in columns and "duration" not in columns)
    return ", ".join(lacking)
