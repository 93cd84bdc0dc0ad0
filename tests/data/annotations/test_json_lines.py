"""Events as JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import FILES, write

from sed.data.events import read_rows
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.jsonl", FILES["jsonl"][1] + "{}\n", r"e.jsonl:3: not an event"),
        ("e.jsonl", FILES["jsonl"][1] + "[[\n", r"e.jsonl:3: not an event"),
        ("e.jsonl", FILES["jsonl"][1].replace("1.25", "null"), r"e.jsonl:1: not an event"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))
