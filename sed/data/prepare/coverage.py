"""Coverage of a set: how many of the clips and events that its metadata names have audio.

coverage.tsv has a row for the whole set (class `all`) and one for each class that the set's metadata name, except a
class named `all`, which has no row of its own.
"""

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
"""name of the origin of clips from the corpus's own archives, not from a copy elsewhere"""
MOST = 6
"""origins that a row names at most (our choice); the others are counted together"""


class Share(NamedTuple):
    """Numbers of clips and events with audio, and of those that the metadata names (`expected`).

    A weak set's events are its tags.
    """

    clips: int
    clips_expected: int
    events: int
    events_expected: int


def read_origins(path: str | Path, folder: str) -> dict[str, str]:
    """Read origins.tsv, which a recipe's stage 0 (downloads) writes, as {clip: origin of its recording}.

    `folder`: folder of recordings, of which the clips are returned; the table's column `set` has its name.
    """
    rows = tsv_rows(path, ("set", "filename", "origin"))
    return {audio_stem(filename): origin for _, (name, filename, origin) in rows if name == folder}


def write_coverage(
    path: str | Path,
    name: str,
    annotated: Mapping[str, Sequence[str]],
    there: set[str],
    origins: Mapping[str, str] | None = None,
) -> None:
    """Write the coverage of a set. Events are counted as in the metadata, before `merge_events` joins overlapping ones.

    Args:
        path: the table to write.
        name: name of the set.
        annotated: {clip: the label of each of its events or tags}, for all clips that the metadata names.
        there: the clips with audio.
        origins: {clip: origin}; if given, a last column, `from`, counts the clips with audio by origin.
    """
    expected_clips, expected_events, clips, events = (Counter[str]() for _ in range(4))
    for clip, labels in annotated.items():
        expected_clips.update({ALL: 1, **dict.fromkeys(labels, 1)})
        expected_events.update({**Counter(labels), ALL: len(labels)})
        if clip in there:
            clips.update({ALL: 1, **dict.fromkeys(labels, 1)})
            events.update({**Counter(labels), ALL: len(labels)})
    rows: list[tuple[object, ...]] = [
        (name, label, clips[label], expected_clips[label], events[label], expected_events[label])
        for label in (ALL, *sorted(set(expected_clips) - {ALL}))
    ]
    if origins is None:
        write_tsv(path, COLUMNS, rows)
        return
    copies = {clip: _copy(origins[clip]) if clip in origins else ARCHIVES for clip in there}
    by_label: dict[object, Counter[str]] = {ALL: Counter(copies.values())}
    for clip, labels in annotated.items():
        if clip in copies:
            for label in set(labels) - {ALL}:
                by_label.setdefault(label, Counter())[copies[clip]] += 1
    write_tsv(path, (*COLUMNS, "from"), ((*row, _counted(by_label.get(row[1], Counter()))) for row in rows))


def _copy(origin: str) -> str:
    """Return COPY, the name of a copy of the corpus, of an origin `COPY` or `COPY/SHARD`; a user's path as it is."""
    return origin if origin.startswith("/") else origin.partition("/")[0]


def _counted(clips: Counter[str]) -> str:
    """Return the numbers of clips of each origin as text, the largest first: "archives 90; mirror 8"."""
    ordered = sorted(clips.items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{origin} {count}" for origin, count in ordered[:MOST]]
    rest = sum(count for _, count in ordered[MOST:])
    return "; ".join([*shown, *([f"{len(clips) - MOST} others {rest}"] if rest else [])])


def read_coverage(path: str | Path) -> dict[str, Share]:
    """Read one set's coverage.tsv as {class: share}, the whole set under `all`."""
    found: dict[str, Share] = {}
    for line, (_, label, *numbers) in tsv_rows(path, COLUMNS):
        if not all(number.isdecimal() and len(number) < 20 for number in numbers):  # int() refuses thousands of digits
            raise UserError(f"{path}:{line}: counts are whole numbers (redo stage 1)")
        found[label] = Share(*map(int, numbers))
    if ALL not in found:
        raise UserError(f"{path}: no row of class '{ALL}' (redo stage 1)")
    return found
