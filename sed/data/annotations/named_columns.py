"""Columns of tables and keys of JSON objects, found by the names that tools give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, recording_of, seconds_text
from sed.data.tables import number
from sed.errors import UserError

NAMES: Mapping[str, Sequence[str]] = {
    "recording": ("filename", "file", "file name", "file_name", "audio", "audio_file", "audio_filename", "recording",
                  "path", "filepath", "file path", "file_path", "fname", "wav", "clip", "begin file", "source_file",
                  "recording_id"),
    "onset": ("onset", "start", "start_time", "start time", "begin", "begin_time", "begin time", "start (s)",
              "start_s", "start_seconds", "begin time (s)", "onset_s", "onset (s)", "tmin", "from"),
    "offset": ("offset", "end", "end_time", "end time", "stop", "stop_time", "end (s)", "end_s", "end_seconds",
               "end time (s)", "offset_s", "offset (s)", "stop_s", "stop_seconds", "tmax", "to"),
    "duration": ("duration", "length", "duration_s", "duration (s)"),
    "label": ("event_label", "label", "event", "class", "annotation", "event_class", "category", "species", "tag",
              "common name", "sound_event", "text", "name"),
}  # fmt: skip
"""content of a column -> its accepted names, in lower case; if a header has two of them, the one that is earlier here
counts"""


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Return {key of NAMES: index of the column}, for the columns that the header has."""
    lower = [field.casefold() for field in header]
    return {
        key: lower.index(next(name for name in names if name in lower))
        for key, names in NAMES.items()
        if any(name in lower for name in names)
    }


def missing_in(columns: Mapping[str, int]) -> str:
    """Return which columns that every table needs are missing, for messages; "" if none is."""
    wanted = {"onsets": "onset", "labels": "label"}
    lacking = [what for what, key in wanted.items() if key not in columns]
    lacking += ["ends or durations"] * ("offset" not in columns and "duration" not in columns)
    return ", ".join(lacking)


def annotation_of(path: Path, line: int, row: Mapping[str, str]) -> Annotation:
    """Parse a row.

    Args:
        path: the file, for messages; if `row` has no recording, the file's name implies it.
        line: the row's line number.
        row: {key of NAMES: field}, with all keys that `missing_in` requires.

    Returns:
        The event, or a recording without events if the row's other fields are empty.

    Raises:
        UserError: the row is broken.
    """
    row = {"recording": recording_of(path)} | dict(row)
    if not row["recording"]:
        raise UserError(f"{path}:{line}: no file name (every row needs one)")
    if not any(row.get(key) for key in ("onset", "offset", "duration", "label")):
        return Annotation(line, row["recording"], None)
    end = row.get("offset", "")
    if "offset" not in row:  # the comma may be a decimal one
        begin, length = (number(f"{path}:{line}", key, row[key].replace(",", ".")) for key in ("onset", "duration"))
        end = seconds_text(begin + length)
    return annotation(path, line, row["recording"], row["onset"], end, row["label"])
