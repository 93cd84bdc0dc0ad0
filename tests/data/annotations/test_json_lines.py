"""Events as JSON lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import FILES, write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.jsonl", FILES["jsonl"][1] + "{}\n", r"e.jsonl:3: not an event"),
        ("e.jsonl", FILES["jsonl"][1] + "[[\n", r"e.jsonl:3: not an event"),
        ("e.jsonl", FILES["jsonl"][1].replace("1.25", "null"), r"e.jsonl:1: broken row of a.wav"),
        ("e.jsonl", '{"file": "a.wav", "start": 1, "end": 2, "event": true}\n', r"e.jsonl:1: not an event"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_a_recording_whose_other_values_are_null_has_no_events(tmp_path: Path) -> None:
    text = '{"filename": "b.wav", "onset": null, "offset": null, "label": null}\n' + FILES["jsonl"][1]
    assert {clip: len(events) for clip, events in by_clip(read_rows(write(tmp_path, "e.jsonl", text))).items()} == {
        "b": 0,
        "a": 2,
    }


def test_a_label_may_hold_what_only_python_takes_for_a_line_end(tmp_path: Path) -> None:
    text = '{"filename": "a.wav", "onset": 1, "offset": 2, "label": "Dog\u2028bark"}\n'
    assert by_clip(read_rows(write(tmp_path, "s.jsonl", text))) == {"a": [Event(1, 2, "Dog\u2028bark")]}


@pytest.mark.parametrize("length", ['"short"', "[1]", "null"])
def test_a_duration_beside_an_offset_may_be_anything(tmp_path: Path, length: str) -> None:
    text = '{"filename": "a.wav", "onset": 1, "offset": 2, "length": ' + length + ', "label": "Dog"}\n'
    assert by_clip(read_rows(write(tmp_path, "s.jsonl", text))) == {"a": [Event(1, 2, "Dog")]}


def test_keys_have_the_names_of_columns(tmp_path: Path) -> None:
    text = '{"recording_id": "a", "start": 1, "duration": 0.5, "channel": [0], "text": "Dog"}\n'
    assert by_clip(read_rows(write(tmp_path, "s.jsonl", text))) == {"a": [Event(1, 1.5, "Dog")]}


@pytest.mark.parametrize("onset, read", [('"1,5"', 1.5), ('" 1.5"', None), ('"1_0"', None), ("1.5", 1.5)])
def test_times_as_text_are_parsed_as_in_tables_and_lines_may_be_indented(tmp_path, onset, read):
    text = f'  {{"filename": "a.wav", "onset": {onset}, "offset": 11, "label": "dog"}}\n'
    path = write(tmp_path, "s.jsonl", text)
    if read is None:
        with pytest.raises(UserError, match=r"s.jsonl:1: .*not a number"):
            by_clip(read_rows(path))
    else:
        assert by_clip(read_rows(path)) == {"a": [Event(read, 11, "dog")]}
