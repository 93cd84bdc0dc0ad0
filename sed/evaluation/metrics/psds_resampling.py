"""PSDS of resampled clips, from each clip's share of the counts, without running a metric package again.

A sample is a row of weights: how often each clip was drawn. A class without a true event in a sample is left out of
the PSDS of that sample, as it is when a set has no event of a class. Classes are those with ground truth in the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sed.evaluation.metrics.curves import sweep
from sed.evaluation.metrics.intersections import PointCounts
from sed.evaluation.metrics.jit import compiled
from sed.evaluation.metrics.psds import Deltas, Parameters, PSDSValue
from sed.evaluation.metrics.task import Problem

HOUR = 3600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Each clip's share of the denominators: true events and their seconds (clips, classes), its duration (clips,)."""

    events: np.ndarray
    seconds: np.ndarray
    duration: np.ndarray

    @staticmethod
    def of(problem: Problem) -> Truth:
        """Return the ground truth of the classes that have any."""
        table, shape = problem.truth, (len(problem.clips), len(problem.labels))
        events, seconds = np.zeros(shape), np.zeros(shape)
        np.add.at(events, (table.clip, table.label), 1.0)
        np.add.at(seconds, (table.clip, table.label), table.offset - table.onset)
        keep = problem.present
        return Truth(events=events[:, keep], seconds=seconds[:, keep], duration=problem.durations.astype(float))

    def summed(self) -> Truth:
        """Return the sums over all clips, as of a single clip."""
        return Truth(
            events=self.events.sum(0, keepdims=True),
            seconds=self.seconds.sum(0, keepdims=True),
            duration=self.duration.sum(keepdims=True),
        )


def from_points(
    truth: Truth, parameters: Parameters, counts: PointCounts, weights: np.ndarray, *, counted_by_04: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the PSDS of operating points on resampled clips.

    Args:
        truth: what each clip adds to the denominators.
        parameters: of the PSDS.
        counts: true and false positives and cross-triggers of every clip at every operating point.
        weights: (samples, clips) how often each clip is drawn.
        counted_by_04: weigh cross-triggers as psds_eval up to 0.4 did, by the mean over all classes (`psds`).

    Returns:
        PSDS (samples,) and each class's area (samples, classes), NaN where a sample holds no event of the class.
    """
    events, seconds, duration = weights @ truth.events, weights @ truth.seconds, weights @ truth.duration
    tp, fp = (
        np.stack([weights @ of_clips[:, point].astype(float) for point in range(of_clips.shape[1])], 1)
        for of_clips in (counts.tp, counts.fp)
    )  # point by point: with hundreds of classes, a copy of all counts as floats would take gigabytes
    samples, points, classes = tp.shape
    efpr = fp * (HOUR / duration)[:, None, None]
    if parameters.alpha_ct and classes > 1:
        at_once = max(1, 10_000_000 // (points * classes * classes))  # samples whose cross-triggers take 80 MB
        for first in range(0, samples, at_once):
            chunk = slice(first, min(first + at_once, samples))
            ct = (counts.ct.T @ weights[chunk].T).T.reshape(-1, points, classes, classes)
            has = events[chunk] > 0
            # 1e-12: against division by 0 in classes without events
            rate = np.where(has, HOUR / np.maximum(seconds[chunk], 1e-12), 0.0)
            others = (has.sum(1) - (0 if counted_by_04 else 1)).clip(1)  # 1: a single class has no cross-triggers
            mean = np.matmul(ct.reshape(len(ct), points * classes, classes), rate[:, :, None])
            efpr[chunk] += parameters.alpha_ct * mean.reshape(efpr[chunk].shape) / others[:, None, None]
    values, areas = np.empty(samples), np.full((samples, classes), np.nan)
    for sample in range(samples):
        has = np.flatnonzero(events[sample] > 0)
        if not len(has):
            values[sample] = np.nan
            continue
        x, y = efpr[sample][:, has], tp[sample][:, has] / events[sample, has]
        inside = x <= parameters.e_max
        label = np.broadcast_to(np.arange(len(has)), x.shape)[inside]
        area = np.empty(len(has))
        values[sample] = sweep(x[inside], y[inside], label, len(has), parameters.alpha_st, parameters.e_max, area)
        areas[sample, has] = area
    return values, areas


def value_of_many(
    problem: Problem, parameters: Parameters, counts: PointCounts, *, counted_by_04: bool = False
) -> PSDSValue:
    """Reduce operating points of a large label set to a PSDS, without a PSD-ROC.

    Args:
        problem: clips, classes and ground truth.
        parameters: of the PSDS.
        counts: sums over all clips at every operating point.
        counted_by_04: weigh cross-triggers as psds_eval up to 0.4 did, by the mean over all classes (`psds`).

    Returns:
        The PSDS.
    """
    truth = Truth.of(problem).summed()
    values, areas = from_points(truth, parameters, counts, np.ones((1, 1)), counted_by_04=counted_by_04)
    labels = (problem.labels[index] for index in problem.present)
    per_class = dict(zip(labels, map(float, areas[0]), strict=True))
    return PSDSValue(value=float(values[0]), per_class=per_class, efpr=np.zeros(0), etpr=np.zeros(0))


def from_deltas(
    truth: Truth, parameters: Parameters, deltas: Iterable[Deltas], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the exact PSDS on resampled clips.

    Args:
        truth: what each clip adds to the denominators.
        parameters: of the PSDS.
        deltas: for each class, the changes of the counts as the threshold falls.
        weights: (samples, clips) how often each clip is drawn.

    Returns:
        PSDS (samples,) and each class's area (samples, classes), NaN where a sample holds no event of the class.
    """
    return from_all_deltas(truth, parameters, [deltas], weights)


def from_all_deltas(
    truth: Truth, parameters: Parameters, systems: Sequence[Iterable[Deltas]], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the PSDS on resampled clips, where each class has the best of several systems at each rate.

    In the piPSDS, the systems are median filters of one model's scores (`pipsds.MEDIANS`).

    Args:
        truth: what each clip adds to the denominators.
        parameters: of the PSDS.
        systems: for each system, the deltas of each class.
        weights: (samples, clips) how often each clip is drawn.

    Returns:
        As `from_deltas`.
    """
    events = weights @ truth.events
    curves = [class_curves(truth, parameters, deltas, weights) for deltas in systems]
    values, areas = np.empty(len(weights)), np.full(events.shape, np.nan)
    for sample in range(len(weights)):
        has = np.flatnonzero(events[sample] > 0)
        if not len(has):
            values[sample] = np.nan
            continue
        chosen = [(place, *points[k][sample]) for points in curves for place, k in enumerate(has)]
        label = np.concatenate([np.full(len(x), place) for place, x, _ in chosen])
        x, y = (np.concatenate(part) for part in list(zip(*chosen, strict=True))[1:])
        area = np.empty(len(has))
        values[sample] = sweep(x, y, label, len(has), parameters.alpha_st, parameters.e_max, area)
        areas[sample, has] = area
    return values, areas


def class_curves(
    truth: Truth, parameters: Parameters, deltas: Iterable[Deltas], weights: np.ndarray
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return the curve of each class on resampled clips.

    Args:
        truth: what each clip adds to the denominators.
        parameters: of the PSDS.
        deltas: for each class, the changes of the counts as the threshold falls.
        weights: (samples, clips) how often each clip is drawn.

    Returns:
        [class][sample] the points of its curve: eFPR and TPR, (points,) each.
    """
    events, seconds, duration = weights @ truth.events, weights @ truth.seconds, weights @ truth.duration
    whole = weights.astype(np.int64)
    points: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for k, delta in enumerate(deltas):  # class by class: one class's changes stay in the cache
        rows = []
        buffer = np.empty((2, len(delta.score)))
        for sample in range(len(weights)):
            has = events[sample] > 0
            cost = np.where(has, HOUR / np.maximum(seconds[sample], 1e-12), 0.0)
            cost *= parameters.alpha_ct / max(1, has.sum() - 1)
            kept = _curve(
                whole[sample], delta.clip, delta.score, delta.tp, delta.fp, delta.ct_first, delta.ct_label,
                delta.ct_change, cost, HOUR / duration[sample], parameters.e_max, buffer,
            )  # fmt: skip
            # 1: against division by 0 in a sample without the class, whose curve is not used
            rows.append((buffer[0, :kept].copy(), buffer[1, :kept] / max(1.0, events[sample, k])))
        points.append(rows)
    return points


@compiled
def _curve(  # type: ignore[no-untyped-def]
    weight, clip, score, tp, fp, ct_first, ct_label, ct_change, cost, per_hour, e_max, out
):
    """Fill `out` (2, rows) with eFPR and true positives of the thresholds; return the number of points.

    Points beyond e_max, and those that the point before makes superfluous, are left out. weight (clips,): how often
    each clip is drawn; cost (classes,): eFPR per cross-trigger on a class; per_hour: eFPR per false positive; clip to
    ct_change: the arrays of `Deltas`.
    """
    found, false, kept = 0, 0, 0
    crossed = np.zeros(len(cost), np.int64)
    rows = len(score)
    for row in range(rows):
        w = weight[clip[row]]
        if w:
            found += w * tp[row]
            false += w * fp[row]
            for place in range(ct_first[row], ct_first[row + 1]):
                crossed[ct_label[place]] += w * ct_change[place]
        if row + 1 < rows and score[row + 1] == score[row]:
            continue
        rate = false * per_hour
        if rate > e_max:  # before the costly cross-triggers; no break: where detections join, the rate falls again
            continue
        for other in range(len(cost)):
            rate += cost[other] * crossed[other]
        if rate > e_max:
            continue
        if kept and found <= out[1, kept - 1] and rate >= out[0, kept - 1]:
            continue
        out[0, kept] = rate
        out[1, kept] = found
        kept += 1
    return kept
