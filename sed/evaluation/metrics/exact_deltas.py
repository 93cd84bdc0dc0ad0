"""Exact PSDS of large label sets: the changes of sed_scores_eval's counts, one class at a time.

The package keeps an array of cross-triggers for every pair of classes, which no memory holds for hundreds. A class's
counts depend on its own scores and on the truth alone, and few of its changes trigger another class: here they are
found class by class, cross-triggers as the few that there are. The tests hold both equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.curves import sweep
from sed.evaluation.metrics.jit import compiled
from sed.evaluation.metrics.psds import Deltas, Parameters, PSDSValue
from sed.evaluation.metrics.psds_resampling import Truth, class_curves
from sed.evaluation.metrics.task import Problem

TOGETHER = 16  # classes whose scores are brought into order of time at once: a cache line of float32
ROC_POINTS = 300
MICRO = 1e6  # sed_scores_eval rounds overlaps to microseconds


@dataclass(frozen=True)
class StreamedDeltas:
    """The `Deltas` of each class with ground truth, computed whenever they are iterated over."""

    problem: Problem
    parameters: Parameters
    scores: FrameScores

    @cached_property
    def _truth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return where each clip's events begin (clips + 1,), and their class, onset and offset (events,)."""
        table = self.problem.joined.truth
        column = np.full(len(self.problem.labels), -1)
        column[self.problem.present] = np.arange(len(self.problem.present))
        first = np.searchsorted(table.clip, np.arange(len(self.problem.clips) + 1))
        return first, column[table.label], table.onset, table.offset

    def __len__(self) -> int:
        return len(self.problem.present)

    def __iter__(self) -> Iterator[Deltas]:
        present, scores = self.problem.present, self.scores
        for begin in range(0, len(present), TOGETHER):
            values = np.ascontiguousarray(scores.values[:, present[begin : begin + TOGETHER]].T)
            for place in range(len(values)):
                yield self._of_class(begin + place, values[place].astype(float))

    def _of_class(self, label: int, values: np.ndarray) -> Deltas:
        crossing = self.parameters.alpha_ct > 0 and len(self) > 1  # a single class triggers no other
        score, clip, tp, fp, first, ct_label, ct_change = _changes(
            values, self.scores.start, self.scores.onset, self.scores.offset, label, *self._truth,
            self.parameters.dtc, self.parameters.gtc, self.parameters.cttc, crossing,
        )  # fmt: skip
        order = np.argsort(-score, kind="stable")
        counts = np.diff(first)[order]
        ct_first = np.concatenate([[0], np.cumsum(counts)])
        moved = np.repeat(first[:-1][order] - ct_first[:-1], counts) + np.arange(ct_first[-1])
        return Deltas(
            score=score[order],
            clip=clip[order],
            tp=tp[order],
            fp=fp[order],
            ct_first=ct_first,
            ct_label=ct_label[moved],
            ct_change=ct_change[moved],
        )


def exact_of_many(problem: Problem, parameters: Parameters, scores: FrameScores) -> PSDSValue:
    """Measure the threshold-free PSDS in memory that does not grow with the square of the classes.

    Args:
        problem: clips, classes and ground truth.
        parameters: of the PSDS.
        scores: frame scores of the problem's clips.

    Returns:
        The value; its PSD-ROC at ROC_POINTS rates.
    """
    once = np.ones((1, len(problem.clips)))
    deltas = StreamedDeltas(problem, parameters, scores)
    curves = [samples[0] for samples in class_curves(Truth.of(problem.joined), parameters, deltas, once)]
    x, y = (np.concatenate(part) for part in zip(*curves, strict=True))
    label = np.repeat(np.arange(len(curves)), [len(curve[0]) for curve in curves])
    areas = np.empty(len(curves))
    value = sweep(x, y, label, len(curves), parameters.alpha_st, parameters.e_max, areas)
    efpr = np.linspace(0.0, parameters.e_max, ROC_POINTS)
    heights = np.stack([_heights(*curve, efpr) for curve in curves])
    return PSDSValue(
        value=float(value),
        per_class=dict(zip((problem.labels[index] for index in problem.present), map(float, areas), strict=True)),
        efpr=efpr,
        etpr=np.maximum(0.0, heights.mean(0) - parameters.alpha_st * heights.std(0)),
    )


def _heights(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the best y of the points (points,) up to each rate of `at` (rates,)."""
    order = np.argsort(x, kind="stable")
    best = np.maximum.accumulate(np.append(0.0, y[order]))
    return best[np.searchsorted(x[order], at, side="right")]


@compiled
def _overlap(begin, end, onset, offset):  # type: ignore[no-untyped-def]
    return max(0.0, min(end, offset) - max(begin, onset))


@compiled
def _judge(begin, end, label, low, high, true_label, true_onset, true_offset, dtc, cttc, crossing, crossed):  # type: ignore[no-untyped-def]
    """Return whether a detection is relevant; set `crossed` (events,) at the first event of each class it triggers."""
    own = 0.0
    for true in range(low, high):
        if true_label[true] == label:
            own += _overlap(begin, end, true_onset[true], true_offset[true])
    relevant = np.rint(own * MICRO) >= np.rint(dtc * (end - begin) * MICRO)
    true = low
    while crossing and true < high:
        group, total = true, 0.0
        while true < high and true_label[true] == true_label[group]:
            total += _overlap(begin, end, true_onset[true], true_offset[true])
            true += 1
        total = 0.0 if relevant else total
        if true_label[group] != label:
            crossed[group - low] = np.rint(total * MICRO) >= np.rint(cttc * (end - begin) * MICRO)
    return relevant


@compiled
def _changes(  # type: ignore[no-untyped-def]
    values, start, onset, offset, label, true_first, true_label, true_onset, true_offset, dtc, gtc, cttc, crossing
):
    """Return (score, clip, tp, fp, ct_first, ct_label, ct_change) of one class, clip by clip, highest score first.

    Frames are switched on from the highest score down. What changes is the segments that a frame begins, extends or
    joins: their share of the counts is taken back, and that of the new segment is added.
    """
    size = len(values)
    score, clip_of = np.empty(size), np.empty(size, np.int32)
    tp, fp = np.empty(size, np.int32), np.empty(size, np.int32)
    ct_first = np.zeros(size + 1, np.int64)
    ct_label, ct_change = np.empty(1024, np.int16), np.empty(1024, np.int16)
    rows, crossings = 0, 0
    for clip in range(len(start) - 1):
        at, frames = start[clip], start[clip + 1] - start[clip]
        low, high = true_first[clip], true_first[clip + 1]
        events = high - low
        order = np.argsort(-values[at : at + frames])
        active, counted, relevant = np.zeros((3, frames), np.bool_)
        first, last, begun = np.empty((3, frames), np.int64)
        crossed = np.zeros((frames, events), np.bool_)  # by the segment that begins at a frame
        covered, change = np.zeros(events), np.zeros(events, np.int64)
        false, before_false, before_found, place = 0, 0, 0, 0
        while place < frames:
            here, new = values[at + order[place]], 0
            while place < frames and values[at + order[place]] == here:
                frame = order[place]
                active[frame], begin, end = True, frame, frame
                for side in range(2):
                    other = frame - 1 if side == 0 else frame + 1
                    if other < 0 or other >= frames or not active[other]:
                        continue
                    head = first[other] if side == 0 else other
                    tail = last[head]
                    begin, end = min(begin, head), max(end, tail)
                    if not counted[head]:
                        continue
                    counted[head] = False  # it becomes a piece of a longer one
                    if relevant[head]:
                        for k in range(events):
                            if true_label[low + k] == label:
                                covered[k] -= _overlap(
                                    onset[at + head], offset[at + tail], true_onset[low + k], true_offset[low + k]
                                )
                    else:
                        false -= 1
                    for k in range(events):
                        change[k] -= crossed[head, k]
                last[begin], first[end] = end, begin
                begun[new] = begin
                new += 1
                place += 1
            for number in range(new):
                head = begun[number]
                if counted[head] or (head > 0 and active[head - 1]):
                    continue
                begin, end = onset[at + head], offset[at + last[head]]
                counted[head] = True
                crossed[head] = False
                relevant[head] = _judge(
                    begin, end, label, low, high, true_label, true_onset, true_offset, dtc, cttc, crossing,
                    crossed[head],
                )  # fmt: skip
                if relevant[head]:
                    for k in range(events):
                        if true_label[low + k] == label:
                            covered[k] += _overlap(begin, end, true_onset[low + k], true_offset[low + k])
                else:
                    false += 1
                for k in range(events):
                    change[k] += crossed[head, k]
            found = 0
            for k in range(events):
                length = true_offset[low + k] - true_onset[low + k]
                if true_label[low + k] == label and np.rint(covered[k] * MICRO) >= np.rint(gtc * length * MICRO):
                    found += 1
            changed = found != before_found or false != before_false
            for k in range(events):
                if change[k] == 0:
                    continue
                if crossings == len(ct_label):
                    ct_label = np.append(ct_label, np.empty(crossings, np.int16))
                    ct_change = np.append(ct_change, np.empty(crossings, np.int16))
                ct_label[crossings], ct_change[crossings] = true_label[low + k], change[k]
                crossings += 1
                change[k] = 0
                changed = True
            if changed:
                score[rows], clip_of[rows] = here, clip
                tp[rows], fp[rows] = found - before_found, false - before_false
                rows += 1
                ct_first[rows] = crossings
                before_found, before_false = found, false
    return (
        score[:rows].copy(), clip_of[:rows].copy(), tp[:rows].copy(), fp[:rows].copy(), ct_first[: rows + 1].copy(),
        ct_label[:crossings].copy(), ct_change[:crossings].copy(),
    )  # fmt: skip
