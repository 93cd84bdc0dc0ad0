"""From frame scores to events, at every operating point at once.

A score is compared once with the ascending thresholds; an event of threshold k starts where the number of thresholds
that the score exceeds rises past k and ends where it falls back. So the cost is one pass over the frames plus the
events found, not one pass for each threshold. A plain reference loop in the tests gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.jit import compiled


def operating_points(number: int = 50) -> np.ndarray:
    """The thresholds of the paper's era: `number` of them, 0.01, 0.03 .. 0.99 for 50 (P, psds_eval's example)."""
    return np.round((np.arange(number) + 0.5) / number, 9)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Events at many operating points, sorted by point, clip, label, onset.

    first: (points, clips * classes + 1) where the events of each clip and class begin, counted over all points;
    begin, end: (events,) rows of `onset` and `offset`, the borders of the frames (or of the events themselves).
    """

    clips: int
    classes: int
    first: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    @property
    def points(self) -> int:
        """How many operating points there are."""
        return len(self.first)

    def __len__(self) -> int:
        return len(self.begin)

    def times(self, point: int) -> tuple[np.ndarray, np.ndarray]:
        """Onsets and offsets of one operating point's events."""
        rows = slice(int(self.first[point, 0]), int(self.first[point, -1]))
        return self.onset[self.begin[rows]], self.offset[self.end[rows]]

    def at(self, point: int) -> EventTable:
        """The events of one operating point."""
        onset, offset = self.times(point)
        cell = np.repeat(np.arange(self.clips * self.classes), np.diff(self.first[point]))
        return EventTable(clip=cell // self.classes, label=cell % self.classes, onset=onset, offset=offset)


def decode(scores: FrameScores, thresholds: np.ndarray) -> Decoded:
    """Events of every clip, class and threshold.

    thresholds: (points,) for all classes or (points, classes); a frame is active where its score is above
    (not at) the threshold.
    """
    classes = len(scores.labels)
    thresholds = np.asarray(thresholds, float)
    if thresholds.ndim == 1:
        thresholds = np.repeat(thresholds[:, None], classes, axis=1)
    order = np.argsort(thresholds, axis=0, kind="stable")
    ascending = np.take_along_axis(thresholds, order, axis=0)
    values, start = np.ascontiguousarray(scores.values), scores.start.astype(np.int64)
    counts = np.zeros((len(thresholds), len(scores.clips), classes), np.int64)
    _count(values, start, ascending, order, counts)
    first = np.concatenate([[0], np.cumsum(counts.ravel())])
    place = first[:-1].reshape(counts.shape).copy()
    begin, end = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
    _fill(values, start, ascending, order, place, begin, end)
    cells = len(scores.clips) * classes
    rows = np.arange(len(thresholds))[:, None] * cells + np.arange(cells + 1)[None, :]
    return Decoded(
        clips=len(scores.clips),
        classes=classes,
        first=first[rows],
        begin=begin,
        end=end,
        onset=scores.onset,
        offset=scores.offset,
    )


@compiled
def _count(values, start, ascending, order, counts):  # type: ignore[no-untyped-def]
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
    """Tables of events, one an operating point, as `Decoded`."""
    cells = clips * classes
    firsts, base = [], 0
    for table in tables:
        counts = np.bincount(table.clip * classes + table.label, minlength=cells)
        firsts.append(base + np.concatenate([[0], np.cumsum(counts)]))
        base += len(table)
    rows = np.arange(base)
    return Decoded(
        clips=clips,
        classes=classes,
        first=np.array(firsts).reshape(len(tables), cells + 1),
        begin=rows,
        end=rows,
        onset=np.concatenate([table.onset for table in tables]),
        offset=np.concatenate([table.offset for table in tables]),
    )


def decode_one(scores: FrameScores, thresholds: Sequence[float] | float) -> EventTable:
    """Events at one operating point: one threshold, or one for each class."""
    row = np.broadcast_to(np.asarray(thresholds, float), (len(scores.labels),))
    return decode(scores, row[None, :]).at(0)
