"""Every number of one system on one set: what `sed.bin.score` writes into result.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sed.data.scores import FrameScores
from sed.evaluation.metrics import f1
from sed.evaluation.metrics.decode import Decoded
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.psds import PSDS1, PSDS2, Deltas, Parameters, PSDSValue, count_points, exact, value_of
from sed.evaluation.metrics.task import Problem
from sed.parallel import run_tasks

F1_KINDS = ("event", "segment", "intersection")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Numbers and what each clip adds to them.

    counts: F1 counts (clips, classes) by kind; psds: values by the name that result.json gives them; deltas: changes
    of the counts by the name of the exact PSDS; parameters: of each PSDS, by name; points: the operating points.
    """

    counts: dict[str, f1.Counts] = field(default_factory=dict)
    psds: dict[str, PSDSValue] = field(default_factory=dict)
    deltas: dict[str, list[Deltas]] = field(default_factory=dict)
    parameters: dict[str, Parameters] = field(default_factory=dict)
    points: Decoded | None = None


def evaluate(
    problem: Problem,
    *,
    detections: EventTable | None,
    points: Decoded | None,
    scores: FrameScores | None,
    own: Parameters | None = None,
    jobs: int = 1,
) -> Evaluation:
    """Score what there is: detections (F1), operating points (PSDS by psds_eval), frame scores (exact PSDS).

    own: one more PSDS of these parameters, named `psds` (and `psds_exact` from frame scores).
    """
    sets: dict[str, Parameters] = {"psds1": PSDS1, "psds2": PSDS2} | ({"psds": own} if own else {})
    tasks: dict[str, Any] = {}
    if scores is not None:
        for name in sorted(sets, reverse=True):  # PSDS2 with its cross-triggers takes longest, so first
            tasks[f"{name}_exact"] = lambda p=sets[name]: exact(problem, p, scores)
    if detections is not None:
        functions = {"event": f1.event_counts, "segment": f1.segment_counts, "intersection": f1.intersection_counts}
        for kind, function in functions.items():
            tasks[f"counts {kind}"] = lambda function=function: function(problem, detections)
    if points is not None:
        for name, parameters in sets.items():
            for part, chunk in enumerate(np.array_split(np.arange(points.points), min(4, points.points))):
                tasks[f"points {name} {part}"] = lambda p=parameters, c=chunk: count_points(problem, p, points, c)
    done = run_tasks(tasks, jobs)
    psds: dict[str, PSDSValue] = {}
    if points is not None:
        for name, parameters in sets.items():
            keys = sorted(key for key in done if key.startswith(f"points {name} "))
            table = pd.concat([done[key] for key in keys], ignore_index=True)
            psds[name] = value_of(problem, parameters, table)
            if name == "psds2":
                psds["psds2_psds_eval_04"] = value_of(problem, parameters, table, counted_by_04=True)
    deltas = {}
    for name in sets if scores is not None else ():
        psds[f"{name}_exact"], deltas[f"{name}_exact"] = done[f"{name}_exact"]
    counts = {key.split()[1]: value for key, value in done.items() if key.startswith("counts ")}
    return Evaluation(counts=counts, psds=psds, deltas=deltas, parameters=sets, points=points)


def number(value: float) -> float | None:
    """A JSON number; None for what is not defined."""
    return None if value is None or not np.isfinite(value) else float(value)


def summary(problem: Problem, evaluation: Evaluation) -> dict[str, Any]:
    """The flat numbers of result.json, with `per_class` and `classes_without_ground_truth`."""
    result: dict[str, Any] = {}
    for kind in F1_KINDS:
        counts = evaluation.counts.get(kind)
        for average in ("macro", "micro"):
            result[f"{kind}_f1_{average}"] = None if counts is None else number(getattr(counts.total(), average)())
    for name in ("psds1", "psds2", "psds1_exact", "psds2_exact", "psds2_psds_eval_04"):
        result[name] = number(evaluation.psds[name].value) if name in evaluation.psds else None
    for name in ("psds", "psds_exact"):
        if name in evaluation.psds:
            result[name] = number(evaluation.psds[name].value)
    result["psd_roc"] = {name: thin(value.efpr, value.etpr) for name, value in evaluation.psds.items()}
    result["classes_without_ground_truth"] = problem.absent_labels
    result["per_class"] = per_class(problem, evaluation)
    return result


def thin(x: np.ndarray, y: np.ndarray, number: int = 300) -> tuple[list[float], list[float]]:
    """At most about `number` points of a staircase, always those of its ends."""
    if len(x) > number:
        keep = np.unique(np.linspace(0, len(x) - 1, number).round().astype(int))
        x, y = x[keep], y[keep]
    return [round(float(v), 4) for v in x], [round(float(v), 5) for v in y]


def per_class(problem: Problem, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """{label: its numbers}; None where a class has no ground truth, so that no such number looks like a score."""
    tables: dict[str, dict[str, Any]] = {}
    ratios = {kind: counts.total().ratios() for kind, counts in evaluation.counts.items()}
    for index, label in enumerate(problem.labels):
        row: dict[str, Any] = {"events": int(problem.counts[index]), "ground_truth": bool(problem.counts[index])}
        if "event" in evaluation.counts:
            row["detections"] = int(evaluation.counts["event"].system[:, index].sum())
        for kind, values in ratios.items():
            for name, column in values.items():
                row[f"{kind}_{name}"] = number(column[index])
        for name, value in evaluation.psds.items():
            row[name] = number(value.per_class[label]) if label in value.per_class else None
        tables[label] = row
    return tables
