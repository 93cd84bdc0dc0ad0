"""Kinds of errors: misplaced, duplicate and spurious detections; split and merged events.

A detection fits an event of its class if onset and offset are within the collars of event-based F1. Detections and
events that fit are paired, as many as possible; a paired detection is correct. Each of the others is one of

- duplicate: it fits an event, or overlaps one that another detection fits;
- misplaced: it fits no event and overlaps at least one, but no detection fits any that it overlaps;
- spurious: it fits and overlaps no event of its class.

The counts are the same for every largest pairing. `pairing.split_and_merged` defines split and merged events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Values
from sed.evaluation.metrics.pairing import fitting, pairs, shared, split_and_merged
from sed.evaluation.metrics.task import Problem

OF_DETECTIONS = ("misplaced", "duplicate", "spurious")
OF_EVENTS = ("split", "merged")
KINDS = (*OF_DETECTIONS, *OF_EVENTS)


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """Counts (clips, classes): detections, true events, and for each of `KINDS` those that are wrong in this way."""

    detections: np.ndarray
    events: np.ndarray
    wrong: dict[str, np.ndarray]

    @staticmethod
    def of(problem: Problem, detections: EventTable) -> Kinds:
        """Count the errors of every clip and class."""
        shape = (len(problem.clips), len(problem.labels))
        # number of each event's cell in a table (clips, classes)
        cells = [table.clip * shape[1] + table.label for table in (problem.truth, detections)]
        spans = [np.stack([table.onset, table.offset], 1) for table in (problem.truth, detections)]
        counts = [np.bincount(cell, minlength=shape[0] * shape[1]) for cell in cells]
        wrong = {kind: np.zeros(shape, int) for kind in KINDS}
        # tables are sorted by clip and label, so the events of a cell are consecutive
        for cell in np.flatnonzero(counts[0] + counts[1]):
            inside = [slice(*np.searchsorted(column, [cell, cell + 1])) for column in cells]
            found = errors_of(spans[0][inside[0]], spans[1][inside[1]])
            for kind in KINDS:
                wrong[kind][divmod(int(cell), shape[1])] = found[kind]
        return Kinds(detections=counts[1].reshape(shape), events=counts[0].reshape(shape), wrong=wrong)

    def shares(self, weights: np.ndarray) -> Values:
        """Return each kind's share (samples,) of the detections, or of the events, of all classes together.

        weights: (samples, clips) how often each clip is drawn.
        """
        totals = {name: weights @ getattr(self, name).sum(1) for name in ("detections", "events")}
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                f"errors_{kind}": weights @ wrong.sum(1) / totals["detections" if kind in OF_DETECTIONS else "events"]
                for kind, wrong in self.wrong.items()
            }


def errors_of(true: np.ndarray, found: np.ndarray) -> dict[str, int]:
    """Count the errors of one class in one recording.

    Args:
        true: (events, 2) onsets and offsets in seconds.
        found: (detections, 2) the same of the detections.

    Returns:
        {kind: how many}, for each of `KINDS`.
    """
    fit = fitting(true, found)
    overlaps = shared(true, found) > 0
    fits = fit.any(0)  # detections that fit an event
    taken = (overlaps & fit.any(1, keepdims=True)).any(0)  # detections that overlap an event that one fits
    split, merged = split_and_merged(true, found)
    return {
        "misplaced": int((~fits & ~taken & overlaps.any(0)).sum()),
        "duplicate": int(fits.sum()) - len(pairs(fit)) + int((~fits & taken).sum()),
        "spurious": int((~fits & ~overlaps.any(0)).sum()),
        "split": int(split.sum()),
        "merged": int(merged.sum()),
    }


class MeasuredErrors(Measured):
    """Shares of the kinds, and how many there are in each class."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds

    def numbers(self) -> Mapping[str, float]:
        """Return the share of each kind."""
        once = np.ones((1, len(self.kinds.events)))
        return {key: float(value[0]) for key, value in self.kinds.shares(once).items()}

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return how many there are of each kind."""
        return {f"errors_{kind}": wrong.sum(0) for kind, wrong in self.kinds.wrong.items()}

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return a single function: counts of a sample are sums over its clips."""
        return {"errors": self.kinds.shares}


class ErrorKinds(Metric):
    """The errors of decisions by kind."""

    entries = tuple(
        Entry(
            key=f"errors_{kind}",
            title=f"{kind} {what}",
            heading=f"{kind} {what}",
            counted_by=f"share of {what}; {how}",
            per_cent=True,
            higher_is_better=False,
            optional=True,
        )
        for what, kinds, how in (
            ("detections", OF_DETECTIONS, "collar 200 ms / 20 %"),
            ("events", ("split",), "more than half of each of several detections lies in it"),
            ("events", ("merged",), "more than half of it and of another event lies in one detection"),
        )
        for kind in kinds
    )

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Kinds]]:
        """Return one task; none without detections."""
        found = inputs.detections
        return {} if found is None else {"errors": lambda: Kinds.of(inputs.problem, found)}

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> MeasuredErrors:  # noqa: ARG002 - as all metrics
        """Return the shares."""
        return MeasuredErrors(done["errors"])


ERROR_KINDS = ErrorKinds()
