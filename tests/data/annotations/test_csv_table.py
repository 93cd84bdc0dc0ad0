"""Tables by the names of their columns."""

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
        ("l.csv", "file,start,end,label\na.wav,x,2,Dog\n", r"l.csv:2: onset 'x' is not a number"),
        ("l.csv", "file,start,end,label\n,1,2,Dog\n", r"l.csv:2: no file name"),
        ("l.csv", "file,start,end,label\na.wav,1,2,Dog,more\n", r"l.csv:2: 5 fields under 4"),
        ("l.csv", "file,start,end,label\na.wav,1,,Dog\n", r"l.csv:2: broken row"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_quotes_empty_recordings_and_names_in_upper_case(tmp_path: Path) -> None:
    path = write(tmp_path, "l.csv", 'FILENAME,Onset,Offset,Label\n"a, b.wav",1,2,"Dog, ""big"""\nc.wav,,,\n')
    assert by_clip(read_rows(path)) == {"a, b": [Event(1, 2, 'Dog, "big"')], "c": []}
