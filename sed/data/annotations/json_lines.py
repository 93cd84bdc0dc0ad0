"""Events as JSON lines, as `predict --format jsonl` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, seconds_text
from sed.errors import UserError

KEYS = ("filename", "onset", "offset", "label")


class JsonLines:
    """Reader of JSON lines."""

    name = "JSON lines"

    def recognises(self, text: str) -> bool:
        """Return whether the first line is an object with the keys of an event."""
        first = text.lstrip().split("\n", 1)[0]
        return first.startswith("{") and all(f'"{key}"' in first for key in KEYS)

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events."""
        for line, content in enumerate(text.splitlines(), 1):
            if not content.strip():
                continue
            try:
                row = json.loads(content)
                name, onset, offset, label = (row[key] for key in KEYS)
                times = seconds_text(float(onset)), seconds_text(float(offset))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UserError(f"{path}:{line}: not an event ({', '.join(KEYS)} are expected)") from None
            yield annotation(path, line, str(name), *times, str(label))
