"""Label Studio's exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import CAT, DOG, LABEL_STUDIO, write

from sed.data.events import by_clip, read_rows
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.json", "[1, 2]", r"task 1 is no object"),
        ("e.json", '[{"data": {"text": "x"}, "annotations": []}]', r"task 1 names no audio"),
        ("e.json", "[" * 100_000, r"not JSON"),
        ("e.json", LABEL_STUDIO.replace('"start": 2', '"start": "2"'), r"without a start and an end"),
        ("e.json", LABEL_STUDIO.replace('["Cat meow"]', "[]"), r"region without a label"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_annotations_that_are_left_out_are_counted(tmp_path: Path, log_lines: list[str]) -> None:
    rows = by_clip(read_rows(write(tmp_path, "e.json", LABEL_STUDIO)))
    assert rows == {"a": [DOG, CAT]}
    assert log_lines == [f"{tmp_path / 'e.json'}: 1 further annotations of tasks that have several were left out"]


def test_a_task_without_regions_is_a_recording_without_events(tmp_path: Path) -> None:
    text = '[{"data": {"audio": "s3://bucket/a%20b.wav"}, "annotations": [{"result": []}]}]'
    assert by_clip(read_rows(write(tmp_path, "e.json", text))) == {"a b": []}
