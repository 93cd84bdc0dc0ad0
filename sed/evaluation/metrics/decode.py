"""Decode frame scores to events, at every operating point at once.

For each frame, `level` is the number of thresholds that the score exceeds. With thresholds in ascending order, counted
from 0, an event at threshold k starts where the level rises above k and ends where it falls to k or below. So the cost
is one pass over the frames plus the number of events, instead of one pass per threshold. A plain reference loop in the
tests gives the same events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.jit import compiled

COUNTS = 4_000_000  # largest size of an array of counts (thresholds, clips, classes): 32 MB of int64


def operating_points(number: int = 50) -> np.ndarray:
    """Return equidistant thresholds: 0.01, 0.03 .. 0.99 for 50, as the DCASE baseline passes to psds_eval."""
    return np.round((np.arange(number) + 0.5) / number, 9)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Events at many operating points, sorted by point, clip, label and onset.

    Attributes:
        clips: number of clips.
        classes: number of classes.
        first: (points + 1,) index of each point's first event.
        cell: (events,) clip * classes + class of each event.
        begin: (events,) index of each event's onset in `onset`.
        end: (events,) index of its offset in `offset`.
        onset: seconds: the start of each frame (`decode`), or the onset of each event (`stack`).
        offset: seconds: the end of each frame, or the offset of each event.
    """

    clips: int
    classes: int
    first: np.ndarray
    cell: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    @property
    def points(self) -> int:
        """Number of operating points."""
        return len(self.first) - 1

    def __len__(self) -> int:
        return len(self.begin)

    def _rows(self, point: int) -> slice:
        return slice(int(self.first[point]), int(self.first[point + 1]))

    def cells(self, point: int) -> np.ndarray:
        """Return the cells of one operating point's events, ascending."""
        return self.cell[self._rows(point)]

    def times(self, point: int) -> tuple[np.ndarray, np.ndarray]:
        """Return onsets and offsets of one operating point's events."""
        rows = self._rows(point)
        return self.onset[self.begin[rows]], self.offset[self.end[rows]]

    def at(self, point: int) -> EventTable:
        """Return the events of one operating point."""
        onset, offset = self.times(point)
        cell = self.cells(point).astype(np.int64)
        return EventTable(clip=cell // self.classes, label=cell % self.classes, onset=onset, offset=offset)


def decode(scores: FrameScores, thresholds: np.ndarray) -> Decoded:
    """Return the events of every clip, class and threshold.

    thresholds: (points,) for all classes or (points, classes), in any order; a frame is active where its score is above
    (not at) the threshold.
    """
    classes, clips = len(scores.labels), len(scores.clips)
    thresholds = np.asarray(thresholds, float)
    if thresholds.ndim == 1:
        thresholds = np.repeat(thresholds[:, None], classes, axis=1)
    order = np.argsort(thresholds, axis=0, kind="stable")
    ascending = np.take_along_axis(thresholds, order, axis=0)
    points, start = len(thresholds), scores.start.astype(np.int64)
    together = max(1, COUNTS // (points * classes))
    blocks = [
        _decode_clips(scores.values, start, ascending, order, range(clip, min(clip + together, clips)))
        for clip in range(0, max(clips, 1), together)  # without clips one empty block, which the lines below need
    ]
    events = np.stack([np.diff(first) for first, *_ in blocks]).sum(0)
    cell, begin, end = (
        np.concatenate([block[column][block[0][k] : block[0][k + 1]] for k in range(points) for block in blocks])
        for column in (1, 2, 3)
    )
    return Decoded(
        clips=clips,
        classes=classes,
        first=np.concatenate([[0], np.cumsum(events)]),
        cell=cell,
        begin=begin,
        end=end,
        onset=scores.onset,
        offset=scores.offset,
    )


def _decode_clips(
    values: np.ndarray, start: np.ndarray, ascending: np.ndarray, order: np.ndarray, clips: range
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Decode consecutive clips; return `first` (points + 1,), `cell`, `begin` and `end` as in `Decoded`.

    ascending (points, classes): thresholds in ascending order; order (points, classes): their operating points.
    """
    points, classes = ascending.shape
    low, high = start[clips.start], start[clips.stop]
    block = np.ascontiguousarray(values[low:high])
    start_in_block = start[clips.start : clips.stop + 1] - low
    counts = np.zeros((points, len(clips), classes), np.int64)
    _count(block, start_in_block, ascending, order, counts)
    first = np.concatenate([[0], np.cumsum(counts.ravel())])
    index_type = _index_type(int(high))
    begin, end = np.empty(first[-1], index_type), np.empty(first[-1], index_type)
    _fill(block, start_in_block, ascending, order, first[:-1].reshape(counts.shape).copy(), begin, end)
    cells = np.arange(clips.start * classes, clips.stop * classes)
    cell = np.repeat(np.tile(cells.astype(_index_type(clips.stop * classes)), points), counts.ravel())
    return (
        first[:: len(cells)].copy() if len(cells) else np.zeros(points + 1, np.int64),
        cell,
        begin + index_type(low),
        end + index_type(low),
    )


def _index_type(number: int) -> type[np.signedinteger]:
    """Return the type of the indices of `number` elements."""
    return np.int32 if number < 2**31 else np.int64


@compiled
def _count(values, start, ascending, order, counts):  # type: ignore[no-untyped-def]
    """Count the events that start, in counts (points, clips, classes)."""
    points = ascending.shape[0]
    for clip in range(len(start) - 1):
        for label in range(values.shape[1]):
            before = 0
            for row in range(start[clip], start[clip + 1]):
                level = before
                while level < points and values[row, label] > ascending[level, label]:
                    counts[order[level, label], clip, label] += 1
                    level += 1
                while level > 0 and not values[row, label] > ascending[level - 1, label]:
                    level -= 1
                before = level


@compiled
def _fill(values, start, ascending, order, place, begin, end):  # type: ignore[no-untyped-def]
    """Write the first and last frame of each event; place (points, clips, classes): index of the next event."""
    points = ascending.shape[0]
    for clip in range(len(start) - 1):
        for label in range(values.shape[1]):
            before = 0
            for row in range(start[clip], start[clip + 1]):
                level = before
                while level < points and values[row, label] > ascending[level, label]:
                    begin[place[order[level, label], clip, label]] = row
                    level += 1
                while level > 0 and not values[row, label] > ascending[level - 1, label]:
                    level -= 1
                    point = order[level, label]
                    end[place[point, clip, label]] = row - 1
                    place[point, clip, label] += 1
                before = level
            for level in range(before):
                point = order[level, label]
                end[place[point, clip, label]] = start[clip + 1] - 1
                place[point, clip, label] += 1


def stack(tables: Sequence[EventTable], clips: int, classes: int) -> Decoded:
    """Combine tables of events, one per operating point, into a `Decoded`.

    Args:
        tables: the events at each operating point.
        clips: number of clips.
        classes: number of classes.

    Returns:
        The events at all operating points.
    """
    rows = np.arange(sum(map(len, tables)))
    return Decoded(
        clips=clips,
        classes=classes,
        first=np.concatenate([[0], np.cumsum([len(table) for table in tables])]),
        cell=np.concatenate([table.clip * classes + table.label for table in tables]),
        begin=rows,
        end=rows,
        onset=np.concatenate([table.onset for table in tables]),
        offset=np.concatenate([table.offset for table in tables]),
    )


def decode_one(scores: FrameScores, thresholds: Sequence[float] | float) -> EventTable:
    """Return the events at one operating point: one threshold, or one for each class."""
    row = np.broadcast_to(np.asarray(thresholds, float), (len(scores.labels),))
    return decode(scores, row[None, :]).at(0)
