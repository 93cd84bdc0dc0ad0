"""Event lists of the DCASE challenges' corpora: file, scene, onset, offset and label, tabs between, no header.

A further field (the kind of event, in TUT's meta.txt) is passed over; a line of file and scene names a recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation
from sed.errors import UserError

_TIME = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_LINE = re.compile(rf"[^\t]*[^\t\d.][^\t]*\t[^\t]*\t{_TIME}\t{_TIME}\t[^\t]+(\t[^\t]*)*")
FIELDS = 5
LEAST = 2
"""fields of a line that only names a recording"""


class DcaseList:
    """Reads event lists."""

    name = "a DCASE event list"

    def recognises(self, text: str) -> bool:
        """Return whether the first line is an event."""
        return bool(_LINE.fullmatch(next((line for line in text.splitlines() if line.strip()), "")))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events."""
        for number, line in enumerate(text.splitlines(), 1):
            fields = [field.strip() for field in line.split("\t")]
            if not line.strip():
                continue
            if not fields[0] or (len(fields) != LEAST and len(fields) < FIELDS):
                raise UserError(f"{path}:{number}: {len(fields)} fields (file, scene, onset, offset, label, with tabs)")
            if len(fields) == LEAST:
                yield Annotation(number, fields[0], None)
            else:
                yield annotation(path, number, fields[0], *fields[2:FIELDS])
