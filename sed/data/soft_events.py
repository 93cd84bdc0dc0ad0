"""Soft labels: spans of time with the share of the annotators who marked a label in them, and their tables.

The share may be weighted (`sed.data.prepare.aggregation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from sed.data.tables import EVENT_COLUMNS, METADATA, ClipIds, Event, Rules, event_of, number, tsv_rows, write_tsv
from sed.errors import UserError

COLUMNS = (*EVENT_COLUMNS, "share")


class SoftEvent(NamedTuple):
    """A span of one label with a constant target; spans of one label in one clip do not overlap."""

    onset: float
    """seconds from the clip's start"""
    offset: float
    """seconds from the clip's start"""
    label: str
    share: float
    """share of the annotators in (0, 1], which is the target"""


def soft_rows(path: str | Path, rules: Rules = METADATA) -> Iterator[tuple[int, str, SoftEvent]]:
    """Yield (line, clip id, event) of a table of soft events.

    Args:
        path: the table, with the columns of a strong table and `share`.
        rules: how strictly it is read.

    Raises:
        UserError: a broken row, or a share outside (0, 1], with file and line.
    """
    clips = ClipIds(rules)
    for line, (filename, onset, offset, label, text) in tsv_rows(path, COLUMNS, rules):
        where = f"{path}:{line}"
        event = event_of(where, filename, onset, offset, label, exact=rules.exact)
        share = number(where, "share", text, unit="above 0 and at most 1")
        if not 0 < share <= 1:
            raise UserError(f"{where}: share {text} is not above 0 and at most 1 (correct the row)")
        yield line, clips.of(where, filename), SoftEvent(*event, share)


def read_soft_tsv(path: str | Path) -> dict[str, list[SoftEvent]]:
    """Read a table of soft events as {clip id: its events in file order}; events without length are left out."""
    found: dict[str, list[SoftEvent]] = {}
    for _, clip, event in soft_rows(path):
        found.setdefault(clip, []).extend([event] if event.onset < event.offset else [])
    return found


def write_soft_tsv(path: str | Path, events: Mapping[str, Sequence[SoftEvent]], suffix: str = ".wav") -> None:
    """Write a table of soft events, clips and events in order.

    Times are rounded to milliseconds; events without length after that are left out.

    Args:
        path: the table.
        events: {clip id: its events}.
        suffix: appended to a clip id to give the file name.
    """
    rows = (
        (clip + suffix, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label, f"{event.share:.6g}")
        for clip in sorted(events)
        for event in sorted(events[clip])
    )
    write_tsv(path, COLUMNS, (row for row in rows if row[1] != row[2]))


AnyEvent = TypeVar("AnyEvent", Event, SoftEvent)


def parts_within(events: Iterable[AnyEvent], start: float, end: float) -> list[AnyEvent]:
    """Return the parts of events, hard or soft, that lie in a window.

    Args:
        events: events of the recording.
        start: start of the window in the recording, in seconds.
        end: end of the window in the recording, in seconds.

    Returns:
        Events with times relative to the window's start.
    """
    cut = [e._replace(onset=max(e.onset, start) - start, offset=min(e.offset, end) - start) for e in events]
    return [event for event in cut if event.offset > event.onset]
