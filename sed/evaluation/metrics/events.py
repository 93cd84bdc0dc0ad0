"""Tables of events: ground truth and detections, in the columns that every SED tool writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sed.data.labels import merge_spans
from sed.data.tables import EVENT_COLUMNS, SCORING, Event, event_row, event_rows, write_tsv
from sed.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EventTable:
    """Events as columns: clip (n,) and label (n,) index lists kept elsewhere; onset, offset (n,) seconds.

    Sorted by clip, label, onset.
    """

    clip: np.ndarray
    label: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    @staticmethod
    def of(clip: Sequence, label: Sequence, onset: Sequence, offset: Sequence) -> EventTable:
        """From columns in any order of rows."""
        columns = (
            np.asarray(clip, np.int64),
            np.asarray(label, np.int64),
            np.asarray(onset, float),
            np.asarray(offset, float),
        )
        order = np.lexsort((columns[3], columns[2], columns[1], columns[0]))
        return EventTable(**dict(zip(("clip", "label", "onset", "offset"), (c[order] for c in columns), strict=True)))

    def __len__(self) -> int:
        return len(self.clip)

    def where(self, mask: np.ndarray) -> EventTable:
        """The rows that `mask` (n,) chooses."""
        return EventTable(
            clip=self.clip[mask], label=self.label[mask], onset=self.onset[mask], offset=self.offset[mask]
        )


def read_events(path: str | Path) -> tuple[list[tuple[int, str, float, float, str]], list[str]]:
    """[(line, clip, onset, offset, label)] and all the clips that the table names, also those without an event."""
    rows = list(event_rows(path, SCORING))
    events = [(line, clip, *event) for line, clip, event in rows if event is not None]
    return events, list(dict.fromkeys(clip for _, clip, _ in rows))


def table_of(
    path: str | Path,
    events: Sequence[tuple[int, str, float, float, str]],
    clips: Mapping[str, int],
    labels: Mapping[str, int],
) -> EventTable:
    """Index events by `clips` and `labels`, leaving out other clips; UserError for an unknown label."""
    kept = []
    for line, clip, onset, offset, label in events:
        if label not in labels:
            raise UserError(f"{path}:{line}: unknown label '{label}' (known: {', '.join(labels)}; see --labels)")
        if clip in clips:
            kept.append((clips[clip], labels[label], onset, offset))
    return EventTable.of(*zip(*kept, strict=True)) if kept else EventTable.of([], [], [], [])


def merge_overlaps(table: EventTable, *, touching: bool = False) -> tuple[EventTable, int]:
    """Join events of one clip and class that overlap (or only touch); also how many rows that took away."""
    cells = zip(table.clip.tolist(), table.label.tolist(), strict=True)
    merged = merge_spans(zip(cells, table.onset.tolist(), table.offset.tolist(), strict=True), touching=touching)
    rows = [(clip, label, onset, offset) for (clip, label), onset, offset in merged]
    return EventTable.of(*zip(*rows, strict=True)) if rows else table, len(table) - len(rows)


def write_events(path: str | Path, table: EventTable, clips: Sequence[str], labels: Sequence[str]) -> None:
    """Write detections as a strong TSV, in order of clip, onset and label, file names with `.wav`."""
    order = np.lexsort((table.label, table.onset, table.clip))
    events = (Event(table.onset[row], table.offset[row], labels[table.label[row]]) for row in order)
    rows = (event_row(f"{clips[clip]}.wav", event) for clip, event in zip(table.clip[order], events, strict=True))
    write_tsv(path, EVENT_COLUMNS, rows)
