"""Segment-based error rate: substitutions, deletions and insertions in segments over active reference segments.

The metric that ranked systems of DCASE 2016 and 2017 task 3, counted by sed_eval over all classes together: a segment
counts once for each class that is active in it. The rate exceeds 1 if there are more errors than active segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.f1 import SEGMENT
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Values
from sed.evaluation.metrics.packages import sed_eval
from sed.evaluation.metrics.task import Problem

KEY = "segment_error_rate"
COUNTED = ("S", "D", "I", "Nref")
"""sed_eval's names of substitutions, deletions, insertions and active reference segments"""


def error_counts(problem: Problem, detections: EventTable) -> np.ndarray:
    """Return the counts (clips, 4) of `COUNTED`, segments of one second."""
    found = problem.inside(detections)
    counts = np.zeros((len(problem.clips), len(COUNTED)))
    pairs = zip(problem.lists(problem.truth), problem.lists(found), strict=True)
    for clip, (truth, here) in enumerate(pairs):
        # classes without events in the clip add nothing to the counts
        labels = sorted({event["event_label"] for event in (*truth, *here)})
        if labels:
            metric = sed_eval().sound_event.SegmentBasedMetrics(event_label_list=labels, time_resolution=SEGMENT)
            metric.evaluate(truth, here, evaluated_length_seconds=float(problem.durations[clip]))
            counts[clip] = [metric.overall[name] for name in COUNTED]
    return counts


def rate_of(counts: np.ndarray) -> np.ndarray:
    """Return the error rate (...) of counts (..., 4); NaN without an active reference segment."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts[..., -1] > 0, counts[..., :-1].sum(-1) / counts[..., -1], np.nan)


class MeasuredErrors(Measured):
    """Counts (clips, 4) of `COUNTED`, and their error rate."""

    def __init__(self, counts: np.ndarray) -> None:
        self._counts = counts

    def numbers(self) -> Mapping[str, float]:
        """Return the error rate of all clips."""
        return {KEY: float(rate_of(self._counts.sum(0)))}

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return nothing: a substitution is between classes."""
        return {}

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return one function, from weights (samples, clips) to error rates (samples,).

        The counts of a bootstrap sample are the sums over its clips.
        """
        return {KEY: lambda weights: {KEY: rate_of(weights @ self._counts)}}


class ErrorRate(Metric):
    """Error rate of segments of one second."""

    entries = (
        Entry(
            key=KEY,
            title="error rate of segments",
            heading="ER",
            counted_by="sed_eval, 1 s",
            per_cent=False,
            higher_is_better=False,
            optional=True,
        ),
    )

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], np.ndarray]]:
        """Return one task; none without detections."""
        found = inputs.detections
        return {} if found is None else {KEY: lambda: error_counts(inputs.problem, found)}

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> MeasuredErrors:  # noqa: ARG002 - as all metrics
        """Return the counts with their rate."""
        return MeasuredErrors(done[KEY])


ERROR_RATE = ErrorRate()
