"""How much of a set is there: coverage.tsv, of the whole set (class `all`) and of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sed.data.tables import tsv_rows, write_tsv
from sed.errors import UserError

COLUMNS = ("set", "class", "clips", "clips_expected", "events", "events_expected")
ALL = "all"


class Share(NamedTuple):
    """What is there of what the metadata names; events are its rows, or its tags."""

    clips: int
    clips_expected: int
    events: int
    events_expected: int


def write_coverage(path: str | Path, name: str, annotated: Mapping[str, Sequence[str]], there: set[str]) -> None:
    """Write the coverage of set `name`: `annotated` has the labels of each clip's rows, `there` the clips with audio.

    Events are counted as the metadata has them, before any merging.
    """
    counts: dict[bool, tuple[Counter[str], Counter[str]]] = {
        False: (Counter(), Counter()),
        True: (Counter(), Counter()),
    }
    for clip, found in annotated.items():
        for present in {False, clip in there}:
            clips, events = counts[present]
            clips.update({ALL: 1, **dict.fromkeys(found, 1)})
            events.update({ALL: len(found), **Counter(found)})
    rows = [
        (name, label, counts[True][0][label], counts[False][0][label], counts[True][1][label], counts[False][1][label])
        for label in (ALL, *sorted(set(counts[False][0]) - {ALL}))
    ]
    write_tsv(path, COLUMNS, rows)


def read_coverage(path: str | Path) -> dict[str, Share]:
    """Read one set's coverage.tsv as {class: share}, the whole set under `all`."""
    found: dict[str, Share] = {}
    for line, (_, label, *numbers) in tsv_rows(path, COLUMNS):
        if not all(number.isdecimal() for number in numbers):
            raise UserError(f"{path}:{line}: counts are whole numbers (redo stage 1)")
        found[label] = Share(*map(int, numbers))
    if ALL not in found:
        raise UserError(f"{path}: no row of class '{ALL}' (redo stage 1)")
    return found
