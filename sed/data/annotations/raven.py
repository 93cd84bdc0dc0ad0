"""Raven's selection tables, which have one row per selection and view (waveform, spectrogram). A selection counts once.

If several files were opened in Raven as one sequence, `Begin Time (s)` counts from the start of the first file. If a
table has the columns `Begin File` (or `Begin Path`) and `File Offset (s)`, these give the file and the onset within it;
the difference of `End Time (s)` and `Begin Time (s)` is then the length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sed.data.annotations.annotation import (
    Annotation,
    annotation,
    is_named_by_raven,
    lines_of,
    or_none,
    recording_of,
    seconds_text,
    with_point,
)
from sed.data.tables import number
from sed.errors import UserError

BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
FILES = ("Begin File", "Begin Path")
LABELS = ("Annotation", "Label", "Class", "Species", "Common Name", "Sound Type", "Tag", "Call Type", "Type", "Notes")
"""accepted names of the label column, which Raven's users choose, in upper or lower case; the earliest one counts"""


class Raven:
    """Reader of selection tables."""

    name = "a Raven selection table"

    def recognises(self, text: str) -> bool:
        """Return whether the header has Raven's columns of begin and end times."""
        return {BEGIN, END} <= set(text.split("\n", 1)[0].rstrip("\r").split("\t"))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the selections; if there are none, the recording that the table's name implies, as one without events.

        A table with a column of files may be of several recordings, unless it has a name that Raven itself chooses: if
        it has no selections, nothing is yielded.
        """
        lines = lines_of(text)
        header = lines[0].split("\t")
        found = _selections(path, header, lines)
        many = bool(set(FILES) & set(header)) and not is_named_by_raven(path)
        return found if many else or_none(found, recording_of(path))


def _selections(path: Path, header: Sequence[str], lines: Sequence[str]) -> Iterator[Annotation]:
    """Yield the selections, each once; `lines` are all lines of the table, of which the first is the header."""
    named = {name.casefold(): name for name in reversed(header)}  # of names that differ in case only, the first counts
    label = next((named[name.casefold()] for name in LABELS if name.casefold() in named), None)
    if label is None:
        raise UserError(f"{path}:1: no column of labels, such as {', '.join(LABELS)} (rename yours to {LABELS[0]})")
    seen: dict[tuple[str | None, ...], set[str]] = {}  # {selection: its labels}
    for line, content in enumerate(lines[1:], 2):
        if not content.strip():
            continue
        row = dict(zip(header, content.split("\t"), strict=False))
        # In tables that were put together from several, numbers of selections repeat, even with equal times.
        selection = tuple(row.get(name) for name in ("Selection", *FILES, BEGIN, END, OFFSET))
        labels, text = seen.setdefault(selection, set()), row.get(label, "").strip()
        if row.get("Selection") and labels and text in {"", *labels}:  # the same selection in another view
            continue
        labels.add(text)
        yield _selection(path, line, row, label)


def _selection(path: Path, line: int, row: Mapping[str, str], label: str) -> Annotation:
    """Return the event of a row, {column: field}; `label` is the name of the label column."""
    begin, end = row.get(BEGIN, "").strip(), row.get(END, "").strip()
    recording = next((row[name].replace("\\", "/") for name in FILES if row.get(name)), recording_of(path))
    if row.get(OFFSET) and any(row.get(name) for name in FILES):
        where = f"{path}:{line}"
        first, last, begin = (with_point(text) for text in (begin, end, row[OFFSET].strip()))
        length = number(where, END, last) - number(where, BEGIN, first)
        end = seconds_text(round(number(where, OFFSET, begin) + length, 6))
    if not row.get(label, "").strip():
        raise UserError(f"{path}:{line}: nothing in column {label} (label the selection in Raven, or delete it)")
    return annotation(path, line, recording, begin, end, row[label])
