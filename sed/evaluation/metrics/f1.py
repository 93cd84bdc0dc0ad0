"""F1 of decisions: event-based and segment-based by sed_eval, intersection-based as psds_eval counts it.

The packages count; the ratios are taken here, since each package drops a class from the macro average in its own
way when nothing was detected: here a class with ground truth always counts, one without never does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sed.evaluation.metrics.decode import stack
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.packages import sed_eval
from sed.evaluation.metrics.psds import Parameters
from sed.evaluation.metrics.task import Problem

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

    def resampled(self, weights: np.ndarray) -> Counts:
        """Of counts (clips, classes): those of samples (samples, classes); weights (samples, clips)."""
        return Counts(tp=weights @ self.tp, system=weights @ self.system, truth=weights @ self.truth)

    def total(self) -> Counts:
        """Of counts (clips, classes): the sums (classes,)."""
        return Counts(tp=self.tp.sum(0), system=self.system.sum(0), truth=self.truth.sum(0))

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


def _by_clip(metric: Any, problem: Problem, detections: EventTable, evaluate: Callable[..., Any]) -> Counts:
    """Counts (clips, classes): what each clip adds to the totals that sed_eval keeps."""
    rows = np.zeros((3, len(problem.clips), len(problem.labels)))
    pairs = zip(problem.lists(problem.truth), problem.lists(detections), strict=True)
    for clip, (truth, found) in enumerate(pairs):
        if truth or found:
            metric.reset()
            evaluate(metric, clip, truth, found)
            for place, key in enumerate(("Ntp", "Nsys", "Nref")):
                rows[place, clip] = [metric.class_wise[label][key] for label in problem.labels]
    return Counts(tp=rows[0], system=rows[1], truth=rows[2])


def event_counts(problem: Problem, detections: EventTable) -> Counts:
    """Event-based counts (clips, classes) by sed_eval: onset within the collar, offset within collar or share."""
    metric = sed_eval().sound_event.EventBasedMetrics(
        event_label_list=problem.labels, t_collar=ONSET_COLLAR, percentage_of_length=OFFSET_SHARE
    )
    return _by_clip(metric, problem, detections, lambda metric, _, truth, found: metric.evaluate(truth, found))


def segment_counts(problem: Problem, detections: EventTable) -> Counts:
    """Segment-based counts (clips, classes) by sed_eval, segments of one second."""
    metric = sed_eval().sound_event.SegmentBasedMetrics(event_label_list=problem.labels, time_resolution=SEGMENT)

    def evaluate(metric: Any, clip: int, truth: list[dict], found: list[dict]) -> None:
        metric.evaluate(truth, found, evaluated_length_seconds=float(problem.durations[clip]))

    return _by_clip(metric, problem, detections, evaluate)


def intersection_counts(problem: Problem, detections: EventTable, parameters: Parameters = INTERSECTION) -> Counts:
    """Intersection-based counts (clips, classes): true positives are true events, false positives detections.

    `system` is true positives + false positives, so that F1 is psds_eval's. Counted as psds_eval does, clip by clip;
    the tests hold the totals equal to the package's, which drops a class with no true positive from its average.
    """
    one = stack([detections], len(problem.clips), len(problem.labels))
    found = point_counts(problem, parameters, one)
    tp, system, truth = np.zeros((3, len(problem.clips), len(problem.labels)))
    np.add.at(truth, (problem.truth.clip, problem.truth.label), 1.0)
    np.add.at(system, (detections.clip, detections.label), 1.0)  # without ground truth all are false
    tp[:, problem.present] = found.tp[:, 0]
    system[:, problem.present] = found.tp[:, 0] + found.fp[:, 0]
    return Counts(tp=tp, system=system, truth=truth)
