"""Logger that writes `log.jsonl` in the run's folder, one JSON object per line, for any plotting tool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sed.files import write_text


class JsonLines:
    """Logger with lines `{"step": 12, "train/loss": 0.5, ...}` and `{"step": 12, "text": "..."}`.

    `step`: number of steps done when the run starts or is resumed.
    """

    def __init__(self, folder: Path, step: int, _config: Mapping[str, Any]) -> None:
        path = folder / "log.jsonl"
        if path.exists():  # a killed run may have logged steps after its checkpoint: they are repeated, so removed here
            with path.open(encoding="utf-8", errors="replace") as file:  # replaced: the last character may be cut
                kept = [line for line in file if _logged_by(line, step)]
            write_text(path, "".join(kept))
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of folders that are not valid UTF-8 are written as by `sed.files.open_replacing`.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._write({"step": step, **values})

    def text(self, step: int, message: str) -> None:
        self._write({"step": step, "text": message})

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Ignore an image: the file has text only.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """

    def close(self) -> None:
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _logged_by(line: str, step: int) -> bool:
    """Return whether a line is complete, and of `step` or an earlier step."""
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False
