"""Intersection statistics of every clip at every operating point: psds_eval's counts, but clip by clip.

psds_eval gives only totals; the bootstrap needs each clip's share of them. Sums are in psds_eval's order and with
pandas' compensated addition, so that a detection exactly at the limit of a criterion falls on the same side. Tests
compare the totals with the package's.
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
    """Counts of each clip at each operating point; classes are those with ground truth.

    Attributes:
        tp: (clips, points, classes) true events that are found.
        fp: (clips, points, classes) detections that fail the detection criterion.
        ct: (clips, points * classes * classes) cross-triggers: false positives that meet the cross-trigger criterion
            with another class. The columns are those of an array [point, class of the detection, class that it
            triggers]. Sparse, because with hundreds of classes the zeros would fill the memory.
        triggering: (points, classes) false positives of each class with one cross-trigger or more, of all clips; each
            counts once, while `ct` counts it for every class that it triggers.
    """

    tp: np.ndarray
    fp: np.ndarray
    ct: csr_array
    triggering: np.ndarray

    def crossed(self) -> np.ndarray:
        """Return the cross-triggers of all clips (points, classes, classes), with the axes of the columns of `ct`."""
        _, points, classes = self.tp.shape
        return np.asarray(self.ct.sum(0)).reshape(points, classes, classes).astype(np.int64)


def point_counts(problem: Problem, parameters: Parameters, decoded: Decoded, *, by_clip: bool = True) -> PointCounts:
    """Count every clip at every operating point.

    Args:
        problem: clips, classes and ground truth.
        parameters: the criteria.
        decoded: decisions at each operating point.
        by_clip: keep each clip's counts; False: return the sums over all clips, as of a single clip.

    Returns:
        The counts.
    """
    classes, clips = len(problem.labels), len(problem.clips)
    truth, keep = problem.truth, problem.present
    truth_first = np.searchsorted(truth.clip, np.arange(clips + 1))
    tp = np.zeros((clips if by_clip else 1, decoded.points, len(keep)), np.int32)
    fp = np.zeros_like(tp)
    column = np.full(classes, -1)
    column[keep] = np.arange(len(keep))
    rows, columns, values = [], [], []
    triggering = np.zeros(tp.shape[1:], np.int64)
    for point in range(decoded.points):
        onset, offset = decoded.times(point)
        crossed = np.empty((len(onset), 4), np.int32)
        while True:
            found, false = np.zeros((2, len(tp), len(keep)), np.int32)
            count = _count_point(
                onset, offset, decoded.cells(point), truth.onset, truth.offset, truth.label, truth_first,
                problem.durations, column, parameters.dtc, parameters.gtc, parameters.cttc, found, false, crossed,
            )  # fmt: skip
            if count <= len(crossed):
                break
            crossed = np.empty((count, 4), np.int32)  # too small, as detections triggered several classes: count again
        tp[:, point], fp[:, point] = found, false
        new = np.diff(crossed[:count, 3], prepend=-1) != 0  # those of one detection follow each other
        triggering[point] = np.bincount(crossed[:count, 1][new], minlength=len(keep))
        pair = (crossed[:count, 0].astype(np.int64) * len(keep) + crossed[:count, 1]) * len(keep) + crossed[:count, 2]
        pair, times = np.unique(pair, return_counts=True)
        rows.append(pair // len(keep) ** 2)
        columns.append(point * len(keep) ** 2 + pair % len(keep) ** 2)
        values.append(times.astype(float))
    shape = (len(tp), decoded.points * len(keep) ** 2)
    places = np.concatenate(rows), np.concatenate(columns)
    return PointCounts(tp=tp, fp=fp, ct=csr_array((np.concatenate(values), places), shape=shape), triggering=triggering)


@compiled
def _plus(total, low_bits, value):  # type: ignore[no-untyped-def]
    """Add `value` to a compensated (Kahan) sum; return the sum, and by how much rounding has made it too large."""
    value -= low_bits
    new = total + value
    return new, (new - total) - value


@compiled
def _covered(begin, end, onset, offset, first, last):  # type: ignore[no-untyped-def]
    """Return a detection's share that true events first to last - 1 cover; -1, below any criterion, without overlap."""
    total, low_bits, meets = 0.0, 0.0, False
    for true in range(first, last):
        if begin < offset[true] and onset[true] < end:
            meets = True
            share = (min(end, offset[true]) - max(begin, onset[true])) / (end - begin)
            total, low_bits = _plus(total, low_bits, share)
    return total if meets else -1.0


@compiled
def _count_point(  # type: ignore[no-untyped-def]
    onset, offset, cell, true_onset, true_offset, true_label, true_first, durations, column, dtc, gtc, cttc, tp, fp,
    crossed,
):  # fmt: skip
    """Count one operating point; return the number of cross-triggers, which may be more than `crossed` holds.

    Detections (onset, offset, cell = clip * classes + label) are sorted by cell; true events are sorted by clip and
    label, those of clip c from true_first[c]. column (classes,): index among the classes with ground truth, or -1.
    dtc, gtc and cttc are the criteria, which `Parameters` describes.
    Outputs: tp and fp (clips or 1, classes with ground truth) are added to; crossed (rows, 4) gets the clip's row, the
    class of the detection, the class that it triggers, and the detection's index.
    """
    classes, count, low = len(column), 0, 0
    while low < len(cell):
        high = low + 1
        while high < len(cell) and cell[high] == cell[low]:
            high += 1
        clip, label = cell[low] // classes, cell[low] % classes
        first, last = true_first[clip], true_first[clip + 1]
        clip_row, own, place = min(clip, len(tp) - 1), column[label], low
        low = high
        if own < 0:
            continue
        true_low = first
        while true_low < last and true_label[true_low] != label:
            true_low += 1
        true_high = true_low
        while true_high < last and true_label[true_high] == label:
            true_high += 1
        covered = np.zeros(true_high - true_low)  # share of each true event, by detections that meet dtc
        lost = np.zeros(true_high - true_low)  # rounding of `covered`, for the compensated addition
        touched = np.zeros(true_high - true_low, np.bool_)  # whether any of these overlaps it, since gtc may be 0
        for row in range(place, high):
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
            if begin < durations[clip] and end > 0.0:  # psds_eval counts no false positives outside the recording
                fp[clip_row, own] += 1
            true = first
            while true < last:  # each turn: all true events of one class in the clip
                other = true
                while true < last and true_label[true] == true_label[other]:
                    true += 1
                if true_label[other] != label and _covered(begin, end, true_onset, true_offset, other, true) >= cttc:
                    if count < len(crossed):
                        crossed[count, 0], crossed[count, 1] = clip_row, own
                        crossed[count, 2], crossed[count, 3] = column[true_label[other]], row
                    count += 1
        for true in range(true_high - true_low):
            if touched[true] and covered[true] >= gtc:
                tp[clip_row, own] += 1
    return count
