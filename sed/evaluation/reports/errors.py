"""Error analysis by event: boundary errors, missed events, confusions, worst and best clips."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sed.evaluation.metrics import f1
from sed.evaluation.metrics.decode import stack
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.pairing import fitting, pairs
from sed.evaluation.metrics.task import Problem

DURATIONS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, np.inf)  # seconds: bins of recall by duration


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Each true event's best detection: the one of its class and clip that shares most time with it.

    All are arrays (true events,).

    Attributes:
        index: row of the detection in the table of detections, -1 without one.
        onset: detected minus true onset in seconds, NaN without a detection.
        offset: detected minus true offset in seconds, NaN without a detection.
        hit: whether event-based F1 counts the event as found: as many events as possible are paired with a detection
            each that meets the collars, which need not be the one that shares most time.
        others: number of true events of other classes that overlap the event.
    """

    index: np.ndarray
    onset: np.ndarray
    offset: np.ndarray
    hit: np.ndarray
    others: np.ndarray


def match(problem: Problem, detections: EventTable) -> Matches:
    """Pair every true event with the detection of its class and clip that shares most time with it."""
    truth = problem.truth
    index = np.full(len(truth), -1)
    others, hit = np.zeros(len(truth), int), np.zeros(len(truth), bool)
    for rows, found in _by_clip(problem, truth, detections):
        shared = _shared(truth, rows, detections, found)
        same = truth.label[rows][:, None] == detections.label[found][None, :]
        shared[~same] = 0.0
        if len(found):
            best = shared.argmax(1)
            index[rows] = np.where(shared.max(1) > 0, found[best], -1)
        true, there = (np.stack([t.onset[r], t.offset[r]], 1) for t, r in ((truth, rows), (detections, found)))
        hit[rows[list(pairs(fitting(true, there) & same))]] = True
        together = _shared(truth, rows, truth, rows) > 0
        together &= truth.label[rows][:, None] != truth.label[rows][None, :]
        others[rows] = together.sum(1)
    known = index >= 0
    onset, offset = np.full(len(truth), np.nan), np.full(len(truth), np.nan)
    onset[known] = detections.onset[index[known]] - truth.onset[known]
    offset[known] = detections.offset[index[known]] - truth.offset[known]
    return Matches(index=index, onset=onset, offset=offset, hit=hit, others=others)


def _by_clip(problem: Problem, truth: EventTable, detections: EventTable):  # type: ignore[no-untyped-def]
    """Yield the rows of the true events and those of the detections, for each clip with true events."""
    clips = np.arange(len(problem.clips) + 1)
    true_at, found_at = np.searchsorted(truth.clip, clips), np.searchsorted(detections.clip, clips)
    for clip in range(len(problem.clips)):
        rows = np.arange(true_at[clip], true_at[clip + 1])
        if len(rows):
            yield rows, np.arange(found_at[clip], found_at[clip + 1])


def _shared(a: EventTable, rows: np.ndarray, b: EventTable, found: np.ndarray) -> np.ndarray:
    """Return the seconds (rows, found) that each event of a in `rows` shares with each event of b in `found`."""
    low = np.maximum(a.onset[rows][:, None], b.onset[found][None, :])
    high = np.minimum(a.offset[rows][:, None], b.offset[found][None, :])
    return np.maximum(high - low, 0.0)


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Recall within one group of true events.

    Attributes:
        name: name of the group.
        events: number of its events.
        hit: number of those that are found (`Matches.hit`).
        touched: number of those that any detection of their class overlaps.
    """

    name: str
    events: int
    hit: int
    touched: int


def recall_by_duration(problem: Problem, matches: Matches) -> list[Recall]:
    """Return recall by the length of events."""
    length = np.round(problem.truth.offset - problem.truth.onset, 6)  # 2.2 - 1.7 exceeds 0.5
    groups = []
    for low, high in pairwise(DURATIONS):
        name = f"{low:g}-{high:g} s" if np.isfinite(high) else f"over {low:g} s"
        inside = (length > low) & (length <= high)
        if inside.any():
            groups.append(_recall(name, inside, matches))
    return groups


def recall_by_overlap(matches: Matches) -> list[Recall]:
    """Return recall by the number of events of other classes that overlap the event."""
    names = ("alone", "with 1 other", "with 2 others", "with 3 or more")
    level = np.minimum(matches.others, 3)
    return [_recall(name, level == k, matches) for k, name in enumerate(names) if (level == k).any()]


def _recall(name: str, inside: np.ndarray, matches: Matches) -> Recall:
    """Return the recall of the true events that `inside` (true events,) selects."""
    touched = (matches.index >= 0) & inside
    return Recall(
        name=name, events=int(inside.sum()), hit=int((matches.hit & inside).sum()), touched=int(touched.sum())
    )


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Confusions between the classes with ground truth.

    Attributes:
        labels: the classes.
        right: (classes,) number of true events that are found.
        taken: (classes, classes) number of false detections of the first class of which the share cttc (0.3) or more
            lies on events of the second; a detection with that share on several classes counts for each.
        nowhere: (classes,) number of false detections that trigger no other class.
        missed: (classes,) number of true events that are not found.
    """

    labels: list[str]
    right: np.ndarray
    taken: np.ndarray
    nowhere: np.ndarray
    missed: np.ndarray

    def most(self, number: int) -> Confusion:
        """Return the confusions of the `number` classes with most true events, in the order of `labels`."""
        keep = np.sort(np.argsort(-(self.right + self.missed), kind="stable")[:number])
        return Confusion(
            labels=[self.labels[index] for index in keep],
            right=self.right[keep],
            taken=self.taken[np.ix_(keep, keep)],
            nowhere=self.nowhere[keep],
            missed=self.missed[keep],
        )


def confusion(problem: Problem, detections: EventTable) -> Confusion:
    """Count confusions by the criteria of intersection F1: dtc 0.5, gtc 0.5, cttc 0.3 (`psds.Parameters`)."""
    at_one_point = stack([problem.inside(detections)], len(problem.clips), len(problem.labels))
    counts = point_counts(problem, f1.INTERSECTION, at_one_point)
    right, false, taken = counts.tp[:, 0].sum(0), counts.fp[:, 0].sum(0), counts.crossed()[0]  # at that point
    return Confusion(
        labels=[problem.labels[index] for index in problem.present],
        right=right,
        taken=taken,
        nowhere=false - counts.triggering[0],
        missed=problem.counts[problem.present] - right,
    )


def rank_clips(counts: f1.Counts, number: int) -> tuple[list[int], list[int]]:
    """Return the indices of the worst clips, by number of errors, then F1, and of the best, by F1, then hits.

    The worst have an error or more, the best a hit or more and are not among the worst.

    counts: event-based counts (clips, classes); number: largest length of each list.
    """
    tp, system, truth = counts.tp.sum(1), counts.system.sum(1), counts.truth.sum(1)
    errors = system + truth - 2 * tp
    score = 2 * tp / np.maximum(system + truth, 1)
    worst = np.lexsort((score, -errors))
    best = np.lexsort((-tp, -score))
    worst = [int(clip) for clip in worst if errors[clip] > 0][:number]
    best = [int(clip) for clip in best if tp[clip] > 0 and int(clip) not in worst][:number]
    return worst, best
