"""Tables of events, ground truth or detections, as columns of clip, label, onset and offset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sed.data.events import Row, read_rows
from sed.data.labels import merge_spans
from sed.data.tables import EVENT_COLUMNS, METADATA, Event, event_row, write_tsv
from sed.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EventTable:
    """Events as columns: clip (n,) and label (n,), indices in a `Problem`'s lists; onset and offset (n,), in seconds.

    Sorted by clip, label, onset and offset.
    """

    clip: np.ndarray
    label: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    @staticmethod
    def of(clip: Sequence, label: Sequence, onset: Sequence, offset: Sequence) -> EventTable:
        """Return a table of columns in any order of rows.

        Args:
            clip: index of each event's clip.
            label: index of its class.
            onset: seconds.
            offset: seconds.

        Returns:
            The table, sorted.
        """
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
        """Return the rows that `mask` (n,) selects."""
        return EventTable(
            clip=self.clip[mask], label=self.label[mask], onset=self.onset[mask], offset=self.offset[mask]
        )


RawEvents = list[tuple[int, str, float, float, str]]
"""(line, clip, onset, offset, label) of each event of a table"""


def raw_events(rows: Iterable[Row]) -> RawEvents:
    """Return the events of rows; rows that name a clip without an event are left out."""
    return [(row.line, row.clip, *row.event) for row in rows if row.event is not None]


def read_events(path: str | Path, exclude: Collection[Path] = ()) -> tuple[RawEvents, list[str]]:
    """Return the events of a table, and all clips that it names, also those without an event.

    The table may be of any tool (`METADATA`: the rules of `sed.data.tables` for such tables).

    exclude: resolved paths of files that are not read if the table is a folder of label files.
    """
    rows = read_rows(path, METADATA, exclude)
    return raw_events(rows), list(dict.fromkeys(row.clip for row in rows))


def event_place(path: Path, line: int) -> str:
    """Return where an event is, for messages: file and line; of a folder, whose files have lines of their own, no line.

    The clip, which messages also name, is mostly the name of its label file.
    """
    return str(path) if path.is_dir() else f"{path}:{line}"


def table_of(
    path: str | Path,
    events: Sequence[tuple[int, str, float, float, str]],
    clips: Mapping[str, int],
    labels: Mapping[str, int],
) -> EventTable:
    """Return events with indices instead of names, without those of clips that are not in `clips`.

    Args:
        path: the table, for messages.
        events: (line, clip, onset, offset, label) of each.
        clips: {clip: index}.
        labels: {label: index}.

    Returns:
        The table.

    Raises:
        UserError: a label is unknown, even if its clip is left out.
    """
    kept = []
    for line, clip, onset, offset, label in events:
        if label not in labels:
            where, known = event_place(Path(path), line), ", ".join(labels)
            raise UserError(f"{where}: unknown label '{label}' of clip {clip} (known: {known}; see --labels)")
        if clip in clips:
            kept.append((clips[clip], labels[label], onset, offset))
    return EventTable.of(*zip(*kept, strict=True)) if kept else EventTable.of([], [], [], [])


def merge_overlaps(table: EventTable, *, touching: bool = False) -> tuple[EventTable, int]:
    """Merge events of one clip and class that overlap; return the table, and by how many rows it is shorter.

    touching: also merge events of which one begins where the other ends.
    """
    cells = zip(table.clip.tolist(), table.label.tolist(), strict=True)
    merged = merge_spans(zip(cells, table.onset.tolist(), table.offset.tolist(), strict=True), touching=touching)
    rows = [(clip, label, onset, offset) for (clip, label), onset, offset in merged]
    return EventTable.of(*zip(*rows, strict=True)) if rows else table, len(table) - len(rows)


def write_events(path: str | Path, table: EventTable, clips: Sequence[str], labels: Sequence[str]) -> None:
    """Write detections as a strong TSV, in order of clip, onset and label, file names with `.wav`.

    Events of no length (in whole milliseconds, as they are written) are left out, as readers drop or refuse them.

    Args:
        path: the file.
        table: the detections.
        clips: names by index.
        labels: names by index.
    """
    spans = zip(table.onset.tolist(), table.offset.tolist(), strict=True)
    table = table.where(np.array([round(onset, 3) < round(offset, 3) for onset, offset in spans], bool))
    order = np.lexsort((table.label, table.onset, table.clip))
    events = (Event(table.onset[row], table.offset[row], labels[table.label[row]]) for row in order)
    rows = (event_row(f"{clips[clip]}.wav", event) for clip, event in zip(table.clip[order], events, strict=True))
    write_tsv(path, EVENT_COLUMNS, rows)
