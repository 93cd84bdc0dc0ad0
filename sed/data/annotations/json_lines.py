"""Events as JSON lines, as `predict --format jsonl` and other tools write them; keys are those of `named_columns`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sed.data.annotations.annotation import Annotation, lines_of, seconds_of, seconds_text
from sed.data.annotations.named_columns import annotation_of, columns_of, missing_in
from sed.errors import UserError

TIMES = ("onset", "offset", "duration")


class JsonLines:
    """Reader of JSON lines."""

    name = "JSON lines"

    def recognises(self, text: str) -> bool:
        """Return whether the first line is an object with the keys of an event."""
        first = text.lstrip().partition("\n")[0]
        try:
            return not missing_in(columns_of(list(_object(first))))
        except ValueError:
            return False

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events."""
        for line, content in enumerate(lines_of(text), 1):
            if not content.strip():
                continue
            try:
                row = _fields(_object(content))
            except ValueError:
                raise UserError(f"{path}:{line}: not an event (filename, onset, offset, label are expected)") from None
            yield annotation_of(path, line, row)


def _object(text: str) -> dict[str, Any]:
    """Parse an object, with blanks around it or none; ValueError if it is something else."""
    text = text.strip()
    try:
        found = json.loads(text) if text.startswith("{") else None
    except RecursionError as error:
        raise ValueError from error
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _fields(found: dict[str, Any]) -> dict[str, str]:
    """Return {key of `named_columns.NAMES`: value as text} of an event.

    A duration beside an offset is left out. Times that are text stay as they are: `annotation` parses or refuses them.
    null is an empty text: a recording without events has no other value than its name.

    Raises ValueError if a key is missing, or a value is neither text, a number nor null.
    """
    columns, values = columns_of(list(found)), list(found.values())
    if missing := missing_in(columns):
        raise ValueError(missing)
    row = {key: values[place] for key, place in columns.items() if key != "duration" or "offset" not in columns}
    row = {key: "" if value is None else value for key, value in row.items()}
    if not all(isinstance(value, (str, int, float)) and not isinstance(value, bool) for value in row.values()):
        raise ValueError("neither text nor number")
    numbers = {key for key in TIMES if not isinstance(row.get(key, ""), str)}
    return {key: seconds_text(seconds_of(value)) if key in numbers else str(value) for key, value in row.items()}
