"""Event lists without a header, as the DCASE challenges' corpora and sed_eval have them, with tabs between fields.

A line has file, scene, onset, offset and label, or the same without the scene; the first line, which must be an event,
shows which. Further fields (such as the kind of event in TUT's meta.txt) are skipped. A line with only the file (in
a list with scenes: only file and scene) is a recording without events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, lines_of
from sed.errors import UserError

_TIME = r" *\d+(?:\.\d+)?(?:[eE][-+]?\d+)? *"
_FILE = r"(?=[\d.]*[^\t\d.])[^\t]+"  # not a number, or the line would be an Audacity label
_EVENT = rf"{_TIME}\t{_TIME}\t[^\t]+(\t[^\t]*)*"
_WITH_SCENE, _WITHOUT = re.compile(rf"{_FILE}\t[^\t]*\t{_EVENT}"), re.compile(rf"{_FILE}\t{_EVENT}")


class DcaseList:
    """Reader of event lists."""

    name = "a DCASE event list"

    def recognises(self, text: str) -> bool:
        """Return whether the first line that is not empty is an event."""
        first = _first(text)
        return bool(_WITH_SCENE.fullmatch(first) or _WITHOUT.fullmatch(first))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events, and the recordings without events."""
        fields_of_file = 1 if _WITHOUT.fullmatch(_first(text)) else 2  # fields before the onset
        names = (*("file", "scene")[:fields_of_file], "onset", "offset", "label")
        for number, line in enumerate(lines_of(text), 1):
            fields = [field.strip() for field in line.split("\t")]
            if not line.strip():
                continue
            if not fields[0] or (len(fields) != fields_of_file and len(fields) < len(names)):
                raise UserError(f"{path}:{number}: {len(fields)} fields ({', '.join(names)}, with tabs between)")
            if len(fields) == fields_of_file:
                yield Annotation(number, fields[0], None)
            else:
                yield annotation(path, number, fields[0], *fields[fields_of_file : len(names)])


def _first(text: str) -> str:
    """Return the first line that is not empty."""
    return next((line for line in lines_of(text) if line.strip()), "")
