"""A custom metric: its number, class-wise numbers and bootstrap samples come from one file (units: `test_table.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from problems import detections, problem

from sed.evaluation.confidence import bootstrap
from sed.evaluation.metrics.evaluate import evaluate, summary
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Values

ENTRY = Entry(
    key="surplus", title="surplus", heading="surplus", counted_by="this test", per_cent=False, higher_is_better=False
)


class MeasuredSurplus(Measured):
    """`counts` (clips, 2) are the numbers of detections and of true events in each clip."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = counts

    def numbers(self) -> Mapping[str, float]:
        found, true = self.counts.sum(0)
        return {"surplus": found / true}

    def of_classes(self) -> Mapping[str, np.ndarray]:
        return {"surplus_of_class": np.arange(3.0)}

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        return {"surplus": lambda weights: {"surplus": np.divide(*(weights @ self.counts).T)}}


class Surplus(Metric):
    """A metric: detections per true event, times an option."""

    entries = (ENTRY,)

    def __init__(self, times: float = 1.0) -> None:
        self.times = times

    def configured(self, options: Mapping[str, Any]) -> Metric:
        return Surplus(options["times"])

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Any]]:
        table, clips = inputs.detections, len(inputs.problem.clips)
        if table is None:
            return {}
        counts = [np.bincount(one.clip, minlength=clips) for one in (table, inputs.problem.truth)]
        return {"count": lambda: np.array(counts, float).T * [self.times, 1]}

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> Measured:
        assert inputs.detections is not None
        return MeasuredSurplus(done["count"])


def test_a_new_metric_has_its_number_classes_and_samples() -> None:
    made = problem(0, clips=6, events=30)
    made = replace(made, labels=[*made.labels[:2], "silent"], truth=made.truth.where(made.truth.label < 2))
    found = detections(0, made)
    metric = Surplus().configured({"times": 2.0})
    evaluation = evaluate(made, detections=found, points=None, scores=None, metrics=[metric])
    result = summary(made, evaluation)
    assert result["surplus"] == pytest.approx(2 * len(found) / len(made.truth))
    assert result["per_class"][made.labels[1]]["surplus_of_class"] == 1.0
    # without ground truth no number looks like a score
    assert result["per_class"]["silent"]["surplus_of_class"] is None
    names, values = bootstrap.resample(made, evaluation, samples=200)
    assert names == ["surplus"] and bootstrap.disagreements(result, names, values) == []
    assert values[0, 1:].std() > 0  # after the value on all clips come those of the samples


def test_a_metric_without_its_input_has_no_value() -> None:
    made = problem(0)
    evaluation = evaluate(made, detections=None, points=None, scores=None, metrics=[Surplus()])
    assert evaluation.measured == () and summary(made, evaluation)["surplus"] is None
    optional = Surplus()
    optional.entries = (replace(ENTRY, optional=True),)
    evaluation = evaluate(made, detections=None, points=None, scores=None, metrics=[optional])
    assert "surplus" not in summary(made, evaluation)


def test_tasks_of_two_metrics_of_one_kind_are_kept_apart() -> None:
    made = problem(0)
    found = detections(0, made)
    second = Surplus(3.0)
    evaluation = evaluate(made, detections=found, points=None, scores=None, metrics=[Surplus(), second], jobs=2)
    one, other = (measured.numbers()["surplus"] for measured in evaluation.measured)
    assert other == pytest.approx(3 * one)
