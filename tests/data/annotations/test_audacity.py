"""Audacity's label tracks."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "0.5\t1.25\tDog\n1\t2\n", r"a.txt:2: a label without text"),
        ("a.txt", "0.5\t1.25\tDog\n2\t1\tDog\n", r"a.txt:2: onset 2 is not before offset 1"),
        ("a.txt", "0.5\t1.25\tDog\n-1\t1\tDog\n", r"a.txt:2: onset -1 is negative"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_points_are_read_and_tabs_in_a_label_become_blanks(tmp_path: Path) -> None:
    path = write(tmp_path, "a.b.txt", "1\t1\tpoint\n2\t3\ttwo\twords\n")
    assert by_clip(read_rows(path)) == {"a.b": [Event(1, 1, "point"), Event(2, 3, "two words")]}
