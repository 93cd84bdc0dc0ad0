"""Praat's TextGrids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from label_files import TEXTGRID, write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.TextGrid", TEXTGRID[:300], r"a.TextGrid: not a whole TextGrid"),
        ("a.TextGrid", TEXTGRID.replace("xmin = 0.5", "xmin = x"), r"a.TextGrid: not a whole TextGrid"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_points_are_events_of_no_length(tmp_path: Path) -> None:
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


def test_intervals_that_overlap_are_one_line(tmp_path: Path) -> None:
    name = 'name = "more"'
    head, tier = TEXTGRID.split(name)
    with pytest.raises(UserError, match="overlap in time") as refused:
        tier = tier.replace("intervals: size = 1", "intervals: size = 2").rstrip()
        more = '\n        intervals [2]:\n            xmin = 2.4\n            xmax = 2.9\n            text = "x"\n'
        read_rows(write(tmp_path, "a.TextGrid", head + name + tier + more))
    assert "\n" not in str(refused.value)
