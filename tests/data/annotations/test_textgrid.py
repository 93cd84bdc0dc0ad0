"""Praat's TextGrids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from label_files import TEXTGRID, write

from sed.data.events import Row, by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError

CHRONOLOGICAL = """"Praat chronological TextGrid text file"
0 10   ! times
2   ! tiers: 1 2 3
"IntervalTier" "events" 0 10
"TextTier" "more" 0 10
1 0 0.5 ""
1 0.5 1.25 "Dog"
2 2 "Cat meow"
1 1.25 10 ""
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXTGRID[:300], r"a.TextGrid:17: not a whole TextGrid: the end of the file where a number is expected"),
        (TEXTGRID.replace("xmin = 0.5", "xmin = x"), r"a.TextGrid:\d+: not a whole TextGrid: a text where a number"),
        (TEXTGRID.replace("size = 3", 'size = "3"'), r":14: not a whole TextGrid: a text where a number is expected"),
        (TEXTGRID.replace("size = 3", "size = 2.5"), r":14: not a whole TextGrid: '2.5' where a count is expected"),
        (TEXTGRID.replace("Interval", "Pitch"), r":13: not a whole TextGrid: a tier of kind 'PitchTier'"),
        (TEXTGRID.replace('"Dog"', '"Dog"s'), r"not a whole TextGrid: a number where a text is expected"),
        (TEXTGRID.replace("exists", "exist"), r":6: not a whole TextGrid: <exist> where <exists> or <absent>"),
        (CHRONOLOGICAL.replace("\n2 2", "\n3 2"), r":8: not a whole TextGrid: tier 3 of 2"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, "a.TextGrid", text))


def test_points_are_events_without_length(tmp_path: Path) -> None:
    text = TEXTGRID.replace(
        'class = "IntervalTier"\n        name = "more"', 'class = "TextTier"\n        name = "more"'
    )
    text = text.replace(
        "intervals: size = 1\n        intervals [1]:\n            xmin = 2\n            xmax = 2.5\n            text",
        "points: size = 1\n        points [1]:\n            number = 2\n            mark",
    )
    assert by_clip(read_rows(write(tmp_path, "a.TextGrid", text))) == {
        "a": [Event(0.5, 1.25, "Dog"), Event(2, 2, "Cat meow")]
    }


def test_tiers_may_share_a_name(tmp_path: Path) -> None:
    names = re.findall(r'name = "[^"]*"', TEXTGRID)
    text = re.sub(r'name = "[^"]*"', names[0], TEXTGRID)
    assert len(names) > 1
    assert by_clip(read_rows(write(tmp_path, "a.TextGrid", text))) == by_clip(
        read_rows(write(tmp_path, "a.TextGrid", TEXTGRID))
    )


def test_a_chronological_grid_has_the_same_events(tmp_path: Path) -> None:
    found = by_clip(read_rows(write(tmp_path, "a.TextGrid", CHRONOLOGICAL)))
    assert found == {"a": [Event(0.5, 1.25, "Dog"), Event(2, 2, "Cat meow")]}


def test_quotes_in_a_label_are_doubled_and_line_ends_are_blanks(tmp_path: Path) -> None:
    text = TEXTGRID.replace('"Dog"', '"a ""big""\n<dog> 3 ! ""\n"')
    assert by_clip(read_rows(write(tmp_path, "a.TextGrid", text)))["a"][0] == Event(0.5, 1.25, 'a "big" <dog> 3 ! "')


def test_borders_that_rounding_moved_apart_are_read(tmp_path: Path) -> None:
    text = TEXTGRID.replace("xmin = 1.25\n", "xmin = 1.2499999\n").replace('text = ""', 'text = "s"')
    assert by_clip(read_rows(write(tmp_path, "a.TextGrid", text)))["a"] == [
        Event(0, 0.5, "s"),
        Event(0.5, 1.25, "Dog"),
        Event(1.2499999, 10, "s"),
        Event(2, 2.5, "Cat meow"),
    ]


def test_a_grid_without_tiers_is_a_recording_without_events(tmp_path: Path) -> None:
    head = TEXTGRID[: TEXTGRID.index("<exists>")]
    assert read_rows(write(tmp_path, "a.TextGrid", head + "<absent>\n")) == [Row(1, "a", None)]


def test_the_message_about_a_binary_grid_names_its_format(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_bytes(b"ooBinaryFile\x08TextGrid\x00\x00\xff")
    with pytest.raises(UserError, match=r"in Praat's binary format .*Save as text file"):
        read_rows(tmp_path / "a.TextGrid")
