"""Event lists without a header, as TUT's corpora have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError

FIRST = "audio/street/a.wav\tstreet\t1.5\t2.5\tpeople walking\n"


def test_a_list_names_several_recordings_and_those_without_events(tmp_path: Path) -> None:
    text = FIRST + "audio/street/b.wav\tstreet\naudio/street/c.wav\t\t0\t3\tcar\tm\n"
    found = by_clip(read_rows(write(tmp_path, "street_fold1_train.txt", text)))
    assert found == {"a": [Event(1.5, 2.5, "people walking")], "b": [], "c": [Event(0, 3, "car")]}


def test_the_scene_may_be_missing_and_numbers_padded(tmp_path: Path) -> None:
    text = "a.wav\t  0.100000\t  2.200000\tbabycry\nb.wav\nc.wav\t0\t3\tglass break\tid7\n"
    found = by_clip(read_rows(write(tmp_path, "reference.txt", text)))
    assert found == {"a": [Event(0.1, 2.2, "babycry")], "b": [], "c": [Event(0, 3, "glass break")]}
    with pytest.raises(UserError, match=r"r.txt:2: 3 fields \(file, onset, offset, label"):
        read_rows(write(tmp_path, "r.txt", "a.wav\t0\t1\tx\nb.wav\t1\t2\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("audio/street/b.wav\tstreet\t1.5\n", r"l.txt:2: 3 fields"),
        ("audio/street/b.wav\tstreet\t2\t1\tcar\n", r"l.txt:2: onset 2 is not before offset 1"),
        ("audio/street/b.wav\tstreet\tx\t1\tcar\n", r"l.txt:2: onset 'x' is not a number"),
        ("\tstreet\t1\t2\tcar\n", r"l.txt:2: 5 fields"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, "l.txt", FIRST + line))
