"""Audacity's label tracks: start, end and label separated by tabs, for the recording of the same name.

If a label has a frequency range, the next line holds it, begins with a backslash, and is skipped. A point label has
equal start and end; `sed.data.events` counts and drops it like every event without length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, lines_of, recording_of
from sed.errors import UserError

_TIME = r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"  # any number: a negative one is refused later, with its line
_LABEL = re.compile(rf"{_TIME}\t{_TIME}(\t.*)?")


class Audacity:
    """Reader of label tracks."""

    name = "Audacity labels"

    def recognises(self, text: str) -> bool:
        """Return whether the first line that is not empty is a label."""
        return bool(_LABEL.fullmatch(next((line for line in lines_of(text) if line.strip()), "")))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the labels."""
        for number, line in enumerate(lines_of(text), 1):
            if not line.strip() or line.startswith("\\\t"):  # a backslash: the frequency range of the label before
                continue
            fields = line.split("\t", 2)
            if len(fields) < 3 or not fields[2].strip():
                raise UserError(f"{path}:{number}: a label without text (start, end and label, with tabs between)")
            yield annotation(path, number, recording_of(path), fields[0].strip(), fields[1].strip(), fields[2])
