"""From frame scores to events, at every operating point at once.

A score is quantised once to the number of thresholds that it exceeds; an event of threshold k starts where that
number rises past k and ends where it falls back. So the cost is one pass over the frames plus the events found, not
one pass for each threshold. A plain reference loop in the tests gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.events import EventTable


def operating_points(number: int = 50) -> np.ndarray:
    """The thresholds of the paper's era: `number` of them, 0.01, 0.03 .. 0.99 for 50 (P, psds_eval's example)."""
    return (np.arange(number) + 0.5) / number


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Events at many operating points: `table` and `point` (n,), the index of each row's operating point."""

    table: EventTable
    point: np.ndarray
    points: int

    def at(self, point: int) -> EventTable:
        """The events of one operating point."""
        low, high = np.searchsorted(self.point, [point, point + 1])
        return self.table.where(slice(low, high))


def decode(scores: FrameScores, thresholds: np.ndarray, chunk_rows: int = 2_000_000) -> Decoded:
    """Events of every clip, class and threshold.

    thresholds: (points,) for all classes or (points, classes); a frame is active where its score is above
    (not at) the threshold. Rows come sorted by point, clip, label, onset.
    """
    thresholds = np.asarray(thresholds, float)
    if thresholds.ndim == 1:
        thresholds = np.repeat(thresholds[:, None], len(scores.labels), axis=1)
    parts: list[tuple[np.ndarray, ...]] = []
    first = 0
    while first < len(scores.clips):  # in chunks of whole clips, so that memory stays small
        last = int(np.searchsorted(scores.start, scores.start[first] + chunk_rows, side="right")) - 1
        last = min(max(last, first + 1), len(scores.clips))
        for label in range(len(scores.labels)):
            parts.append(_decode_class(scores, label, first, last, thresholds[:, label]))
        first = last
    if not parts:
        return Decoded(table=EventTable.of([], [], [], []), point=np.zeros(0, np.int64), points=len(thresholds))
    point, clip, label, begin, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((begin, label, clip, point))
    begin, end = begin[order], end[order]
    table = EventTable(
        clip=clip[order].astype(np.int64),
        label=label[order].astype(np.int64),
        onset=scores.onset[begin],
        offset=scores.offset[end],
    )
    return Decoded(table=table, point=point[order].astype(np.int64), points=len(thresholds))


def _decode_class(
    scores: FrameScores, label: int, first: int, last: int, thresholds: np.ndarray
) -> tuple[np.ndarray, ...]:
    """(point, clip, label, first row, last row) of one class's events in the clips first .. last - 1."""
    low, high = int(scores.start[first]), int(scores.start[last])
    order = np.argsort(thresholds, kind="stable")
    values = np.ascontiguousarray(scores.values[low:high, label])
    level = np.searchsorted(thresholds[order], values, side="left").astype(np.int32)  # thresholds below the score
    starts = scores.start[first : last + 1] - low
    inner = np.zeros(high - low, bool)  # the first frame of a clip has no frame before it
    inner[starts[:-1][starts[:-1] < high - low]] = True
    before = np.concatenate([[0], level[:-1]]).astype(np.int32) if len(level) else level
    before = np.where(inner, 0, before)
    ends = np.zeros(high - low, bool)
    ends[starts[1:][starts[1:] > 0] - 1] = True
    after = np.concatenate([level[1:], [0]]).astype(np.int32) if len(level) else level
    after = np.where(ends, 0, after)
    begin_row, begin_point = _expand(before, level)
    end_row, end_point = _expand(after, level)
    # The n-th start of a point belongs to its n-th end, both being in order of time.
    by_start = np.argsort(begin_point, kind="stable")
    by_end = np.argsort(end_point, kind="stable")
    begin, end, point = begin_row[by_start], end_row[by_end], begin_point[by_start]
    clip = np.searchsorted(scores.start, begin + low, side="right") - 1
    return (
        order[point].astype(np.int16),
        clip.astype(np.int32),
        np.full(len(point), label, np.int16),
        (begin + low).astype(np.int64),
        (end + low).astype(np.int64),
    )


def _expand(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row where `upper` is above `lower`: the row and every level between them, as (row, level) pairs."""
    rows = np.flatnonzero(upper > lower)
    counts = (upper[rows] - lower[rows]).astype(np.int64)
    row = np.repeat(rows, counts)
    offset = np.cumsum(counts) - counts
    level = np.arange(len(row)) - np.repeat(offset - lower[rows], counts)
    return row, level


def decode_one(scores: FrameScores, thresholds: Sequence[float] | float) -> EventTable:
    """Events at one operating point: one threshold, or one for each class."""
    row = np.broadcast_to(np.asarray(thresholds, float), (len(scores.labels),))
    return decode(scores, row[None, :]).table
