"""Coverage of a set by existing audio: coverage.tsv, for the whole set (class `all`) and for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sed.data.tables import audio_stem, tsv_rows, write_tsv
from sed.errors import UserError

COLUMNS = ("set", "class", "clips", "clips_expected", "events", "events_expected")
ALL = "all"
ARCHIVES = "archives"
"""where a clip is from that stage 0 unpacked with the corpus's own audio"""
MOST = 6
"""origins that a row names"""


class Share(NamedTuple):
    """Existing part of what the metadata names; events are its rows, or its tags."""

    clips: int
    clips_expected: int
    events: int
    events_expected: int


def read_origins(path: str | Path, folder: str) -> dict[str, str]:
    """Read {clip: where its recording is from} of one folder of recordings from stage 0's origins.tsv."""
    rows = tsv_rows(path, ("set", "filename", "origin"))
    return {audio_stem(filename): origin for _, (name, filename, origin) in rows if name == folder}


def write_coverage(
    path: str | Path,
    name: str,
    annotated: Mapping[str, Sequence[str]],
    there: set[str],
    origins: Mapping[str, str] | None = None,
) -> None:
    """Write the coverage of a set. Events are counted as the metadata has them, before any merging.

    Args:
        path: where to.
        name: of the set.
        annotated: the labels of each clip's rows.
        there: the clips with audio.
        origins: where clips are from; with it a last column, `from`, counts the clips that are there by origin.
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
    rows: list[tuple[object, ...]] = [
        (name, label, counts[True][0][label], counts[False][0][label], counts[True][1][label], counts[False][1][label])
        for label in (ALL, *sorted(set(counts[False][0]) - {ALL}))
    ]
    if origins is None:
        write_tsv(path, COLUMNS, rows)
        return
    named = {clip: _part(origins[clip]) if clip in origins else ARCHIVES for clip in there}
    by_label: dict[object, Counter[str]] = {ALL: Counter(named.values())}
    for clip, found in annotated.items():
        if clip in named:
            for label in set(found):
                by_label.setdefault(label, Counter())[named[clip]] += 1
    write_tsv(path, (*COLUMNS, "from"), ((*row, _counted(by_label.get(row[1], Counter()))) for row in rows))


def _part(origin: str) -> str:
    """Return the copy that an origin is in: of a part of stage 0's, whichever of its shards."""
    return origin if origin.startswith("/") else origin.partition("/")[0]


def _counted(clips: Counter[str]) -> str:
    ordered = sorted(clips.items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{origin} {count}" for origin, count in ordered[:MOST]]
    rest = sum(count for _, count in ordered[MOST:])
    return "; ".join([*shown, *([f"{len(clips) - MOST} others {rest}"] if rest else [])])


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
