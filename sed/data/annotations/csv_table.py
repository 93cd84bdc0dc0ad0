"""Tables with named columns, separated by commas, semicolons or tabs; unknown columns are skipped.

The DCASE baselines' predictions, spreadsheets and many annotation tools' exports are such tables. If no column has a
known name for recordings (`named_columns.NAMES`), the first column with a suffix of audio in its first field counts as
such; if there is none either, the table belongs to the recording of the same name.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from sed.data.annotations.annotation import Annotation, lines_of
from sed.data.annotations.named_columns import annotation_of, columns_of, missing_in
from sed.data.recordings import SUFFIXES
from sed.errors import UserError


class CsvTable:
    """Reader of tables with a header."""

    name = "a table"

    def recognises(self, text: str) -> bool:
        """Return whether the header has all columns of events (`missing_in`), or at least a recording and an onset.

        In the second case `read` says which columns are missing.
        """
        columns = columns_of(_header(text))
        return not missing_in(columns) or {"recording", "onset"} <= set(columns)

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the rows."""
        try:
            header = _header(text)
        except csv.Error:
            most = csv.field_size_limit()
            raise UserError(f"{path}:1: a column's name has more than {most} characters (is it a table?)") from None
        columns = columns_of(header)
        if missing := missing_in(columns):
            raise UserError(f"{path}:1: no column of {missing} (the header has {', '.join(header)})")
        rows = _rows(path, header, text)
        for line, fields in itertools.islice(rows, 1):  # the first row, if any; it is put back before the others
            if "recording" not in columns:
                columns |= _column_of_files(fields)
            rows = itertools.chain([(line, fields)], rows)
        for line, fields in rows:
            yield annotation_of(path, line, {key: fields[index] for key, index in columns.items()})


def _rows(path: Path, header: Sequence[str], text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields, one per column) of the rows below the header; missing fields are empty."""
    for line, fields in _records(path, text):
        if line == 1 or not any(field.strip() for field in fields):
            continue
        if len(fields) > len(header):
            raise UserError(f"{path}:{line}: {len(fields)} fields under {len(header)} columns (correct the row)")
        yield line, [field.strip() for field in fields] + [""] * (len(header) - len(fields))


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, fields) of the rows, header included; a quoted field may hold line ends.

    Raises UserError if a quotation mark is not closed, since all that follows would be part of the field.
    """
    lines, separator = io.StringIO(text, newline="").readlines(), _separator(text)
    rows = csv.reader(lines, delimiter=separator)
    first = 1
    try:
        for fields in rows:
            if rows.line_num > first:  # several lines: they must be correctly quoted
                list(csv.reader(lines[first - 1 : rows.line_num], delimiter=separator, strict=True))
            yield first, fields
            first = rows.line_num + 1
    except csv.Error:
        raise UserError(f"{path}:{first}: a quotation mark that is not closed (close it, or remove it)") from None


def _separator(text: str) -> str:
    """Return the most frequent of tab, semicolon and comma in the header, the first of these on a tie."""
    header = lines_of(text)[0]
    return max("\t;,", key=header.count)


def _header(text: str) -> list[str]:
    rows = csv.reader(lines_of(text)[:1], delimiter=_separator(text))
    return [field.strip() for field in next(rows, [])]


def _column_of_files(fields: Sequence[str]) -> dict[str, int]:
    """Return {"recording": index of the first field with a suffix of audio}; empty if no field has one."""
    found = [index for index, field in enumerate(fields) if Path(field).suffix.lower() in SUFFIXES]
    return {"recording": found[0]} if found else {}
