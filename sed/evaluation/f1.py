"""F1 of decisions: event-based and segment-based by sed_eval, intersection-based by psds_eval.

The packages count; the ratios are taken here, since each package drops a class from the macro average in its own
way when nothing was detected: here a class with ground truth always counts, one without never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sed.evaluation.decode import Decoded
from sed.evaluation.events import EventTable
from sed.evaluation.packages import sed_eval
from sed.evaluation.problem import Problem
from sed.evaluation.psds import Parameters, count_points

ONSET_COLLAR = 0.2  # seconds (P: 200 ms)
OFFSET_SHARE = 0.2  # of the event's length, when that is more than the collar (P: 20 %)
SEGMENT = 1.0  # seconds
INTERSECTION = Parameters(dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=0.0, alpha_st=0.0, e_max=100.0)  # DCASE task 4's


@dataclass(frozen=True, kw_only=True)
class Counts:
    """(..., classes) true positives, system events (or segments), and true events (or segments)."""

    tp: np.ndarray
    system: np.ndarray
    truth: np.ndarray

    def ratios(self) -> dict[str, np.ndarray]:
        """Precision, recall and f1 of each class; NaN for a class without ground truth."""
        with np.errstate(invalid="ignore", divide="ignore"):
            has = self.truth > 0
            precision = np.where(has, self.tp / np.maximum(self.system, 1), np.nan)
            recall = np.where(has, self.tp / np.maximum(self.truth, 1), np.nan)
            f1 = np.where(has, 2 * self.tp / np.maximum(self.system + self.truth, 1), np.nan)
        return {"f1": f1, "precision": precision, "recall": recall}

    def macro(self) -> np.ndarray:
        """(...) mean F1 over the classes that have ground truth; NaN when none has."""
        f1 = self.ratios()["f1"]
        has = ~np.isnan(f1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(has, f1, 0.0).sum(-1) / has.sum(-1)

    def micro(self) -> np.ndarray:
        """(...) F1 of all classes' counts together, false alarms of classes without ground truth included."""
        total = (self.system + self.truth).sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.truth.sum(-1) > 0, 2 * self.tp.sum(-1) / total, np.nan)


def _from_sed_eval(metric: object, problem: Problem) -> Counts:
    table: Mapping[str, Mapping[str, float]] = metric.class_wise  # type: ignore[attr-defined]
    columns = ([float(table[label][key]) for label in problem.labels] for key in ("Ntp", "Nsys", "Nref"))
    return Counts(**dict(zip(("tp", "system", "truth"), map(np.array, columns), strict=True)))


def event_counts(problem: Problem, detections: EventTable) -> Counts:
    """Event-based counts by sed_eval: onset within the collar, offset within the larger of collar and share."""
    metric = sed_eval().sound_event.EventBasedMetrics(
        event_label_list=problem.labels, t_collar=ONSET_COLLAR, percentage_of_length=OFFSET_SHARE
    )
    for truth, found in zip(problem.lists(problem.truth), problem.lists(detections), strict=True):
        if truth or found:
            metric.evaluate(truth, found)
    return _from_sed_eval(metric, problem)


def segment_counts(problem: Problem, detections: EventTable) -> Counts:
    """Segment-based counts by sed_eval, segments of one second."""
    metric = sed_eval().sound_event.SegmentBasedMetrics(event_label_list=problem.labels, time_resolution=SEGMENT)
    rows = zip(problem.lists(problem.truth), problem.lists(detections), problem.durations, strict=True)
    for truth, found, seconds in rows:
        if truth or found:
            metric.evaluate(truth, found, evaluated_length_seconds=float(seconds))
    return _from_sed_eval(metric, problem)


def intersection_counts(problem: Problem, detections: EventTable, parameters: Parameters = INTERSECTION) -> Counts:
    """Intersection-based counts by psds_eval: true positives are true events, false positives detections.

    `system` is true positives + false positives, so that F1 is psds_eval's.
    """
    one = Decoded(table=detections, point=np.zeros(len(detections), np.int64), points=1)
    tp, system = np.zeros(len(problem.labels)), np.zeros(len(problem.labels))
    counts = count_points(problem, parameters, one).counts.iloc[0]
    found = np.bincount(detections.label, minlength=len(problem.labels)).astype(float)
    system[problem.counts == 0] = found[problem.counts == 0]  # psds_eval cannot count classes without ground truth
    order = sorted(problem.present, key=lambda index: problem.labels[index])
    tp[order] = np.diag(counts)[:-1]
    system[order] = tp[order] + counts[:-1, -1]
    return Counts(tp=tp, system=system, truth=problem.counts.astype(float))
