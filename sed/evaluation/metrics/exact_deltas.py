"""Exact PSDS of large label sets: sed_scores_eval's counts and their changes as the threshold falls, class by class.

The package keeps an array of cross-triggers for every pair of classes, which does not fit into memory for hundreds of
classes. But a class's counts depend only on its own scores and the truth, and few of its changes trigger another class.
So the changes are computed class by class here, with cross-triggers as a sparse list. Tests compare with the package.

`psds.Parameters` explains the criteria (dtc, gtc, cttc), `psds.Deltas` the arrays of changes.
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

TOGETHER = 16  # classes whose scores are transposed at a time: 16 float32 values fill a cache line of 64 bytes
ROC_POINTS = 300  # points of the PSD-ROC that result.json stores
MICRO = 1e6  # microseconds per second: sed_scores_eval rounds overlaps to microseconds


@dataclass(frozen=True)
class StreamedDeltas:
    """Iterable of the `Deltas` of each class with ground truth, computed again in every iteration."""

    problem: Problem
    parameters: Parameters
    scores: FrameScores

    @cached_property
    def _truth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """True events: index of each clip's first (clips + 1,), and class, onset and offset (events,) of each.

        Classes, here and below, are counted among those with ground truth.
        """
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
        """Return the changes of one class, whose scores of all frames are `values` (frames,)."""
        crossing = self.parameters.alpha_ct > 0 and len(self) > 1  # a single class triggers no other
        score, clip, tp, fp, first, ct_label, ct_change = _changes(
            values, self.scores.start, self.scores.onset, self.scores.offset, label, *self._truth,
            self.parameters.dtc, self.parameters.gtc, self.parameters.cttc, crossing,
        )  # fmt: skip
        order = np.argsort(-score, kind="stable")
        counts = np.diff(first)[order]
        ct_first = np.concatenate([[0], np.cumsum(counts)])
        # positions of the cross-triggers, before sorting, in the order of the sorted rows
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
    """Measure the threshold-free PSDS in memory that does not grow with the square of the number of classes.

    Args:
        problem: clips, classes and ground truth.
        parameters: of the PSDS.
        scores: frame scores of the problem's clips.

    Returns:
        The value, with a PSD-ROC at ROC_POINTS rates.
    """
    once = np.ones((1, len(problem.clips)))  # one sample, which has every clip once
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
    """Return the highest y of the points (x, y) with x up to each rate of `at` (rates,); 0 if there are none."""
    order = np.argsort(x, kind="stable")
    best = np.maximum.accumulate(np.append(0.0, y[order]))
    return best[np.searchsorted(x[order], at, side="right")]


@compiled
def _overlap(begin, end, onset, offset):  # type: ignore[no-untyped-def]
    """Return the seconds that two spans share."""
    return max(0.0, min(end, offset) - max(begin, onset))


@compiled
def _judge(begin, end, label, event_label, event_onset, event_offset, dtc, cttc, crossing, crossed):  # type: ignore[no-untyped-def]
    """Return whether a detection of class `label` is relevant: meets the detection criterion (dtc).

    The event_ arrays (events,) are the true events of the clip, sorted by class. Output: `crossed` (events,) is True at
    the first event of each other class that an irrelevant detection triggers (cttc). crossing: whether cross-triggers
    count.
    """
    own, event, has_own = 0.0, 0, False
    for k in range(len(event_label)):
        if event_label[k] == label:
            has_own = True
            own += _overlap(begin, end, event_onset[k], event_offset[k])
    relevant = np.rint(own * MICRO) >= np.rint(dtc * (end - begin) * MICRO)
    # In a clip without events of the class the package counts every detection as false, unless it counts
    # cross-triggers, too. It matters only for a dtc of 0, which detections meet without any overlap.
    if not (has_own or crossing):
        relevant = False
    crossed[:] = False
    while crossing and event < len(event_label):
        group, total = event, 0.0
        while event < len(event_label) and event_label[event] == event_label[group]:
            total += _overlap(begin, end, event_onset[event], event_offset[event])
            event += 1
        total = 0.0 if relevant else total  # as the package: with a cttc of 0, relevant detections trigger, too
        if event_label[group] != label:
            crossed[group] = np.rint(total * MICRO) >= np.rint(cttc * (end - begin) * MICRO)
    return relevant


@compiled
def _weigh(sign, begin, end, relevant, crossed, label, event_label, event_onset, event_offset, covered, change):  # type: ignore[no-untyped-def]
    """Add a detection to the counts (sign 1) or take it back (-1); return the change of the false positives.

    Outputs: covered (events,) seconds of each true event of the class that relevant detections cover; change (events,)
    cross-triggers, at the first event of the class that is triggered.
    """
    for k in range(len(event_label)):
        change[k] += sign * crossed[k]
        if relevant and event_label[k] == label:
            covered[k] += sign * _overlap(begin, end, event_onset[k], event_offset[k])
    return 0 if relevant else sign


@compiled
def _of_clip(  # type: ignore[no-untyped-def]
    values, onset, offset, label, event_label, event_onset, event_offset, dtc, gtc, cttc, crossing,
    score, tp, fp, ends, ct_label, ct_change,
):  # fmt: skip
    """Fill in the rows of `Deltas` of one clip, highest score first; return their number.

    values, onset and offset (frames,): the class's score in each frame of the clip, and the frame's start and end in
    seconds; the event_ arrays (events,) as in `_judge`.

    Frames become active from the highest score down, all of one score together. A detection is a run of active frames.
    When a frame extends a run or joins two, their share of the counts is taken back and that of the new run is added.
    A run is kept at its first frame: `last` is its last frame there (`first` the reverse), and counted, relevant and
    crossed describe it. `begun` has the first frames of the runs that frames of the current score make. ends (rows,) is
    the number of cross-triggers up to and including each row.
    """
    frames, events = len(values), len(event_label)
    order = np.argsort(-values)
    active, counted, relevant = np.zeros(frames, np.bool_), np.zeros(frames, np.bool_), np.zeros(frames, np.bool_)
    first, last, begun = np.empty(frames, np.int64), np.empty(frames, np.int64), np.empty(frames, np.int64)
    crossed = np.zeros((frames, events), np.bool_)  # classes that the run triggers, as in _judge
    covered, change = np.zeros(events), np.zeros(events, np.int64)
    false, before_false, before_found, place, rows, crossings = 0, 0, 0, 0, 0, 0
    while place < frames:
        here, new = values[order[place]], 0
        while place < frames and values[order[place]] == here:
            frame = order[place]
            begin = first[frame - 1] if frame > 0 and active[frame - 1] else frame
            end = last[frame + 1] if frame + 1 < frames and active[frame + 1] else frame
            for head, tail in ((begin, frame - 1), (frame + 1, end)):
                if head <= tail and counted[head]:  # this run becomes a piece of a longer one
                    counted[head] = False
                    false += _weigh(
                        -1, onset[head], offset[tail], relevant[head], crossed[head],
                        label, event_label, event_onset, event_offset, covered, change,
                    )  # fmt: skip
            active[frame], last[begin], first[end], begun[new] = True, end, begin, begin
            new, place = new + 1, place + 1
        for head in begun[:new]:
            if counted[head] or (head > 0 and active[head - 1]):  # done already, or no longer the start of its run
                continue
            begin, end = onset[head], offset[last[head]]
            events_of = label, event_label, event_onset, event_offset
            relevant[head] = _judge(begin, end, *events_of, dtc, cttc, crossing, crossed[head])
            false += _weigh(1, begin, end, relevant[head], crossed[head], *events_of, covered, change)
            counted[head] = True
        found = _found(covered, label, event_label, event_onset, event_offset, gtc)
        earlier = crossings
        for k in np.flatnonzero(change):
            ct_label[crossings], ct_change[crossings] = event_label[k], change[k]
            crossings += 1
        change[:] = 0
        if found != before_found or false != before_false or crossings > earlier:
            score[rows], tp[rows], fp[rows], ends[rows] = here, found - before_found, false - before_false, crossings
            before_found, before_false, rows = found, false, rows + 1
    return rows


@compiled
def _found(covered, label, event_label, event_onset, event_offset, gtc):  # type: ignore[no-untyped-def]
    """Return how many events of the class are found: relevant detections cover the share gtc of them."""
    found = 0
    for k in range(len(covered)):
        length = event_offset[k] - event_onset[k]
        if event_label[k] == label and np.rint(covered[k] * MICRO) >= np.rint(gtc * length * MICRO):
            found += 1
    return found


@compiled
def _changes(  # type: ignore[no-untyped-def]
    values, start, onset, offset, label, true_first, true_label, true_onset, true_offset, dtc, gtc, cttc, crossing
):
    """Return the arrays of one class's `Deltas`, clip by clip, within a clip by falling score.

    values (frames,): the class's scores of all clips; start, onset and offset as in `FrameScores`; the true_ arrays are
    those of `StreamedDeltas._truth`.
    """
    size = len(values)
    score, clip_of = np.empty(size), np.empty(size, np.int32)
    tp, fp = np.empty(size, np.int32), np.empty(size, np.int32)
    ct_first = np.zeros(size + 1, np.int64)
    ct_label, ct_change = np.empty(1024, np.int16), np.empty(1024, np.int16)
    rows, crossings = 0, 0
    for clip in range(len(start) - 1):
        span, true = slice(start[clip], start[clip + 1]), slice(true_first[clip], true_first[clip + 1])
        most = (span.stop - span.start) * (true.stop - true.start)  # largest number of this clip's cross-triggers
        while crossings + most > len(ct_label):
            ct_label = np.append(ct_label, np.empty(len(ct_label), np.int16))
            ct_change = np.append(ct_change, np.empty(len(ct_change), np.int16))
        added = _of_clip(
            values[span], onset[span], offset[span], label, true_label[true], true_onset[true], true_offset[true],
            dtc, gtc, cttc, crossing,
            score[rows:], tp[rows:], fp[rows:], ct_first[rows + 1 :], ct_label[crossings:], ct_change[crossings:],
        )  # fmt: skip
        clip_of[rows : rows + added] = clip
        ct_first[rows + 1 : rows + 1 + added] += crossings
        rows += added
        crossings = ct_first[rows]
    return (
        score[:rows].copy(), clip_of[:rows].copy(), tp[:rows].copy(), fp[:rows].copy(), ct_first[: rows + 1].copy(),
        ct_label[:crossings].copy(), ct_change[:crossings].copy(),
    )  # fmt: skip
