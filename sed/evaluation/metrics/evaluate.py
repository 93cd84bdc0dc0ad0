"""Compute all metrics of one system on one set, and the numbers that `sed.bin.score` writes into result.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.decode import Decoded
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.exact_deltas import ROC_POINTS
from sed.evaluation.metrics.f1 import Counts, MeasuredF1
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric
from sed.evaluation.metrics.psds import Parameters, PSDSValue
from sed.evaluation.metrics.psds_metric import MeasuredPSDS
from sed.evaluation.metrics.table import METRICS
from sed.evaluation.metrics.task import Problem
from sed.parallel import run_tasks


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Values of the metrics for one system on one set.

    Attributes:
        inputs: what the metrics were computed from.
        entries: entries in the metric table of all metrics that were asked for.
        measured: values of the metrics that could be computed from the inputs.
    """

    inputs: Inputs
    entries: tuple[Entry, ...]
    measured: tuple[Measured, ...]

    @property
    def counts(self) -> dict[str, Counts]:
        """Counts (clips, classes) of each kind of F1: {`event`: counts}."""
        return {one.kind: one.counts for one in self.measured if isinstance(one, MeasuredF1)}

    @property
    def psds(self) -> dict[str, PSDSValue]:
        """PSDS values with their PSD-ROC, by key."""
        return {key: value for one in self._all_psds() for key, value in one.values.items()}

    @property
    def parameters(self) -> dict[str, Parameters]:
        """Parameters of each PSDS, by the key of its value at operating points."""
        return {key: value for one in self._all_psds() for key, value in one.parameters.items()}

    def _all_psds(self) -> list[MeasuredPSDS]:
        return [one for one in self.measured if isinstance(one, MeasuredPSDS)]


def evaluate(
    problem: Problem,
    *,
    detections: EventTable | None,
    points: Decoded | None,
    scores: FrameScores | None,
    raw: FrameScores | None = None,
    metrics: Sequence[Metric] = METRICS,
    jobs: int = 1,
) -> Evaluation:
    """Compute the metrics that the given inputs allow.

    Args:
        problem: clips, classes and ground truth.
        detections: decisions, for F1 and counts of errors.
        points: decisions at operating points, for the PSDS by psds_eval.
        scores: frame scores after post-processing, for the exact PSDS and the mpAUC of segments.
        raw: frame scores before any post-processing, for the piPSDS.
        metrics: the metrics, with their options.
        jobs: number of processes.

    Returns:
        The values of each metric, without the metrics that lack an input.
    """
    inputs = Inputs(problem=problem, detections=detections, points=points, scores=scores, raw=raw)
    tasks: dict[str, Callable[[], Any]] = {}
    for place, metric in reversed(list(enumerate(metrics))):  # the slowest are late in the table: start them first
        tasks |= {f"{place} {name}": task for name, task in metric.tasks(inputs).items()}
    done = run_tasks(tasks, jobs)
    measured = []
    for place, metric in enumerate(metrics):
        own = {name.removeprefix(f"{place} "): value for name, value in done.items() if name.startswith(f"{place} ")}
        if own:
            measured.append(metric.measured(inputs, own))
    entries = tuple(entry for metric in metrics for entry in metric.entries)
    return Evaluation(inputs=inputs, entries=entries, measured=tuple(measured))


def number(value: float | None) -> float | None:
    """Return a number for JSON; None for NaN and infinity."""
    return None if value is None or not np.isfinite(value) else float(value)


def summary(problem: Problem, evaluation: Evaluation) -> dict[str, Any]:
    """Return the metrics' part of result.json: overall numbers, PSD-ROCs, and the numbers of each class."""
    numbers = {key: value for one in evaluation.measured for key, value in one.numbers().items()}
    result: dict[str, Any] = {
        entry.key: number(numbers.get(entry.key))
        for entry in evaluation.entries
        if entry.key in numbers or not entry.optional
    }
    result["psd_roc"] = {name: thin(value.efpr, value.etpr) for name, value in evaluation.psds.items()}
    result["classes_without_ground_truth"] = problem.absent_labels
    result["per_class"] = per_class(problem, evaluation)
    return result


def thin(x: np.ndarray, y: np.ndarray, most: int = ROC_POINTS) -> tuple[list[float], list[float]]:
    """Keep at most `most` points of a curve, at equal steps of their index and both ends, rounded for result.json.

    Args:
        x: (points,) rates per hour.
        y: (points,) ratios.
        most: largest number of points to keep.

    Returns:
        The x and y that are kept.
    """
    if len(x) > most:
        keep = np.unique(np.linspace(0, len(x) - 1, most).round().astype(int))
        x, y = x[keep], y[keep]
    return [round(float(v), 4) for v in x], [round(float(v), 5) for v in y]


def per_class(problem: Problem, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return {label: its numbers}; a class without ground truth keeps its counts, and its other numbers are None."""
    columns: Mapping[str, np.ndarray] = {
        name: column for one in evaluation.measured for name, column in one.of_classes().items()
    }
    tables: dict[str, dict[str, Any]] = {}
    for index, label in enumerate(problem.labels):
        row: dict[str, Any] = {"events": int(problem.counts[index]), "ground_truth": bool(problem.counts[index])}
        for name, column in columns.items():
            if np.issubdtype(column.dtype, np.integer):  # counts
                row[name] = int(column[index])
            else:
                row[name] = number(column[index]) if row["ground_truth"] else None
        tables[label] = row
    return tables
