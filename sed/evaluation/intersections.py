"""Intersection statistics of every clip at every operating point: what psds_eval counts, but clip by clip.

psds_eval gives totals only; the bootstrap needs to know what each clip adds to them. The sums run in psds_eval's
order and with pandas' compensated addition, so that a detection on the very edge of a criterion falls on the same
side; the tests hold the totals equal to the package's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sed.evaluation.decode import Decoded
from sed.evaluation.jit import compiled
from sed.evaluation.problem import Problem
from sed.evaluation.psds import Parameters


@dataclass(frozen=True, kw_only=True)
class PointCounts:
    """Of the classes with ground truth: tp, fp (clips, points, classes); ct (clips, points, classes, classes).

    tp: true events found; fp: detections that fail the detection criterion; ct: those of them that fall on another
    class, [detected, true].
    """

    tp: np.ndarray
    fp: np.ndarray
    ct: np.ndarray


def point_counts(problem: Problem, parameters: Parameters, decoded: Decoded) -> PointCounts:
    """Count every clip at every operating point."""
    classes, clips = len(problem.labels), len(problem.clips)
    truth = problem.truth
    cells = np.bincount(truth.clip * classes + truth.label, minlength=clips * classes)
    truth_first = np.concatenate([[0], np.cumsum(cells)])
    tp = np.zeros((clips, decoded.points, classes), np.int32)
    fp = np.zeros_like(tp)
    ct = np.zeros((clips, decoded.points, classes, classes), np.int32)
    present = problem.counts > 0
    for point in range(decoded.points):
        onset, offset = decoded.times(point)
        first = decoded.first[point] - decoded.first[point, 0]
        _count_point(
            onset, offset, first, truth.onset, truth.offset, truth_first, problem.durations, present,
            parameters.dtc, parameters.gtc, parameters.cttc, tp[:, point], fp[:, point], ct[:, point],
        )  # fmt: skip
    keep = problem.present
    return PointCounts(tp=tp[:, :, keep], fp=fp[:, :, keep], ct=ct[:, :, keep][:, :, :, keep])


@compiled
def _count_point(  # type: ignore[no-untyped-def]
    onset, offset, first, true_onset, true_offset, true_first, durations, present, dtc, gtc, cttc, tp, fp, ct
):
    clips, classes = tp.shape
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
                length = end - begin
                total, low_bits, meets = 0.0, 0.0, False
                for true in range(true_low, true_high):
                    if begin < true_offset[true] and true_onset[true] < end:
                        meets = True
                        share = (min(end, true_offset[true]) - max(begin, true_onset[true])) / length
                        value = share - low_bits
                        new = total + value
                        low_bits = (new - total) - value
                        total = new
                if meets and total >= dtc:
                    for true in range(true_low, true_high):
                        if begin < true_offset[true] and true_onset[true] < end:
                            touched[true - true_low] = True
                            true_length = true_offset[true] - true_onset[true]
                            share = (min(end, true_offset[true]) - max(begin, true_onset[true])) / true_length
                            value = share - lost[true - true_low]
                            new = covered[true - true_low] + value
                            lost[true - true_low] = (new - covered[true - true_low]) - value
                            covered[true - true_low] = new
                    continue
                if begin < durations[clip] and end > 0.0:
                    fp[clip, label] += 1
                for other in range(classes):
                    if other == label:
                        continue
                    total, low_bits, meets = 0.0, 0.0, False
                    for true in range(true_first[clip * classes + other], true_first[clip * classes + other + 1]):
                        if begin < true_offset[true] and true_onset[true] < end:
                            meets = True
                            share = (min(end, true_offset[true]) - max(begin, true_onset[true])) / length
                            value = share - low_bits
                            new = total + value
                            low_bits = (new - total) - value
                            total = new
                    if meets and total >= cttc:
                        ct[clip, label, other] += 1
            for true in range(true_high - true_low):
                if touched[true] and covered[true] >= gtc:
                    tp[clip, label] += 1
