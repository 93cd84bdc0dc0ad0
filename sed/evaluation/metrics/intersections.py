"""Intersection statistics of every clip at every operating point: what psds_eval counts, but clip by clip.

psds_eval gives totals only; the bootstrap needs to know what each clip adds to them. The sums run in psds_eval's
order and with pandas' compensated addition, so that a detection on the very edge of a criterion falls on the same
side; the tests hold the totals equal to the package's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from sed.evaluation.metrics.decode import Decoded
from sed.evaluation.metrics.jit import compiled
from sed.evaluation.metrics.psds import Parameters
from sed.evaluation.metrics.task import Problem


@dataclass(frozen=True, kw_only=True)
class PointCounts:
    """Of the classes with ground truth: tp, fp (clips, points, classes); ct (clips, points * classes * classes).

    tp: true events found; fp: detections that fail the detection criterion; ct: those of them that fall on another
    class, [point, detected, true], sparse, since hundreds of classes would fill the memory with zeros.
    """

    tp: np.ndarray
    fp: np.ndarray
    ct: csr_array

    def crossed(self) -> np.ndarray:
        """(points, classes, classes) cross-triggers of all clips, [point, detected, true]."""
        _, points, classes = self.tp.shape
        return np.asarray(self.ct.sum(0)).reshape(points, classes, classes).astype(np.int64)


def point_counts(problem: Problem, parameters: Parameters, decoded: Decoded) -> PointCounts:
    """Count every clip at every operating point.

    Args:
        problem: clips, classes and ground truth.
        parameters: the criteria.
        decoded: decisions at each operating point.
    """
    classes, clips = len(problem.labels), len(problem.clips)
    truth = problem.truth
    cells = np.bincount(truth.clip * classes + truth.label, minlength=clips * classes)
    truth_first = np.concatenate([[0], np.cumsum(cells)])
    tp = np.zeros((clips, decoded.points, classes), np.int32)
    fp = np.zeros_like(tp)
    present = problem.counts > 0
    keep = problem.present
    column = np.full(classes, -1)
    column[keep] = np.arange(len(keep))
    rows, columns = [], []
    for point in range(decoded.points):
        onset, offset = decoded.times(point)
        first = decoded.first[point] - decoded.first[point, 0]
        crossed = np.empty((len(onset) + 16, 3), np.int32)
        while True:
            tp[:, point], fp[:, point] = 0, 0
            count = _count_point(
                onset, offset, first, truth.onset, truth.offset, truth_first, problem.durations, present,
                parameters.dtc, parameters.gtc, parameters.cttc, tp[:, point], fp[:, point], crossed,
            )  # fmt: skip
            if count <= len(crossed):
                break
            crossed = np.empty((count, 3), np.int32)  # several classes were crossed at once: with more room again
        rows.append(crossed[:count, 0])
        label, other = column[crossed[:count, 1]], column[crossed[:count, 2]]
        columns.append((point * len(keep) + label) * len(keep) + other)
    shape = (clips, decoded.points * len(keep) ** 2)
    row, place = np.concatenate(rows), np.concatenate(columns)
    ct = csr_array((np.ones(len(row)), (row, place)), shape=shape)  # equal places are summed
    return PointCounts(tp=tp[:, :, keep], fp=fp[:, :, keep], ct=ct)


@compiled
def _plus(total, low_bits, value):  # type: ignore[no-untyped-def]
    """Add `value` to a compensated sum; return the sum and the low bits that it lacks."""
    value -= low_bits
    new = total + value
    return new, (new - total) - value


@compiled
def _covered(begin, end, onset, offset, first, last):  # type: ignore[no-untyped-def]
    """Share of a detection that true events first .. last - 1 cover; -1 where it touches none of them."""
    total, low_bits, meets = 0.0, 0.0, False
    for true in range(first, last):
        if begin < offset[true] and onset[true] < end:
            meets = True
            share = (min(end, offset[true]) - max(begin, onset[true])) / (end - begin)
            total, low_bits = _plus(total, low_bits, share)
    return total if meets else -1.0


@compiled
def _count_point(  # type: ignore[no-untyped-def]
    onset, offset, first, true_onset, true_offset, true_first, durations, present, dtc, gtc, cttc, tp, fp, crossed
):
    clips, classes = tp.shape
    count = 0
    for clip in range(clips):
        for label in range(classes):
            low, high = first[clip * classes + label], first[clip * classes + label + 1]
            if low == high or not present[label]:
                continue
            true_low, true_high = true_first[clip * classes + label], true_first[clip * classes + label + 1]
            covered = np.zeros(true_high - true_low)  # of each true event, by detections that meet the criterion
            lost = np.zeros(true_high - true_low)  # low bits of `covered`: compensated addition
            touched = np.zeros(true_high - true_low, np.bool_)
            for row in range(low, high):
                begin, end = onset[row], offset[row]
                if not begin < end:
                    continue
                if _covered(begin, end, true_onset, true_offset, true_low, true_high) >= dtc:
                    for true in range(true_low, true_high):
                        if begin < true_offset[true] and true_onset[true] < end:
                            at = true - true_low
                            touched[at] = True
                            true_length = true_offset[true] - true_onset[true]
                            share = (min(end, true_offset[true]) - max(begin, true_onset[true])) / true_length
                            covered[at], lost[at] = _plus(covered[at], lost[at], share)
                    continue
                if begin < durations[clip] and end > 0.0:
                    fp[clip, label] += 1
                for other in range(classes):
                    other_low, other_high = true_first[clip * classes + other], true_first[clip * classes + other + 1]
                    if other != label and _covered(begin, end, true_onset, true_offset, other_low, other_high) >= cttc:
                        if count < len(crossed):
                            crossed[count, 0], crossed[count, 1], crossed[count, 2] = clip, label, other
                        count += 1
            for true in range(true_high - true_low):
                if touched[true] and covered[true] >= gtc:
                    tp[clip, label] += 1
    return count
