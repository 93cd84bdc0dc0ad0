"""The PSDS of result.json: which there are for which input, with which parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import ONE, SLOWLY, TWO, seeds
from oracles import OWN as OWN_PARAMETERS
from problems import problem, scores

from sed.errors import UserError
from sed.evaluation.metrics import psds_metric
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.metric import Inputs
from sed.evaluation.metrics.psds import PSDS1, PSDS2, Parameters, count_points, exact, value_of
from sed.evaluation.metrics.psds_metric import OWN, PSDS, STANDARD, MeasuredPSDS, OwnPSDS

NOT_GIVEN = dict.fromkeys(("dtc", "gtc", "cttc", "alpha_ct", "alpha_st", "e_max"))


def measure(metric: Any, inputs: Inputs) -> MeasuredPSDS:
    found = metric.measured(inputs, {name: task() for name, task in metric.tasks(inputs).items()})
    assert isinstance(found, MeasuredPSDS)
    return found


def inputs_of(seed: int, *, points: bool = True, frames: bool = True) -> Inputs:
    made = problem(seed, clips=6, events=30)
    given = scores(seed, made)
    return Inputs(
        problem=made,
        detections=None,
        points=decode(given, operating_points(7)) if points else None,  # fewer points in some parts than in others
        scores=given if frames else None,
    )


@pytest.mark.thorough
def test_points_divided_among_tasks_give_what_they_give_together() -> None:
    inputs = inputs_of(0)
    numbers = measure(STANDARD, inputs).numbers()
    assert inputs.points is not None and inputs.scores is not None
    for name, parameters in (("psds1", PSDS1), ("psds2", PSDS2)):
        table = count_points(inputs.problem, parameters, inputs.points)
        assert numbers[name] == value_of(inputs.problem, parameters, table).value
        assert numbers[f"{name}_exact"] == exact(inputs.problem, parameters, inputs.scores)[0].value
    assert numbers["psds2_psds_eval_04"] == value_of(inputs.problem, PSDS2, table, counted_by_04=True).value


@pytest.mark.thorough
@SLOWLY
@given(seeds, st.sampled_from([ONE, TWO, OWN_PARAMETERS]))
def test_large_label_sets_have_the_numbers_and_the_samples_of_the_packages(seed: int, parameters: Parameters) -> None:
    inputs = inputs_of(seed)
    metric = PSDS(STANDARD.entries, {"psds2": parameters})
    weights = np.random.default_rng(seed).multinomial(6, np.full(6, 1 / 6), size=3).astype(float)
    packages = measure(metric, inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psds_metric, "MANY", 0)
        sparse = measure(metric, inputs)
    assert sparse.numbers() == pytest.approx(dict(packages.numbers()), abs=1e-12)
    for name, areas in packages.of_classes().items():
        np.testing.assert_allclose(sparse.of_classes()[name], areas, atol=1e-12)
    for name, sample in packages.samplers().items():
        ours, theirs = sparse.samplers()[name](weights), sample(weights)
        assert set(ours) == set(theirs)
        for key, values in theirs.items():
            np.testing.assert_allclose(ours[key], values, atol=1e-12)


@pytest.mark.parametrize(
    ("points", "frames", "expected"),
    [
        (True, False, {"psds1", "psds2", "psds2_psds_eval_04"}),  # 0.4's has no mean over classes of its own
        (False, True, {"psds1_exact", "psds2_exact"}),
    ],
)
def test_there_are_the_psds_that_the_inputs_allow(points: bool, frames: bool, expected: set[str]) -> None:
    found = measure(STANDARD, inputs_of(1, points=points, frames=frames))
    means = {f"{name}_class_mean" for name in expected - {"psds2_psds_eval_04"}}
    assert set(found.of_classes()) == expected and set(found.numbers()) == expected | means
    assert {name.removesuffix("_exact") for name in found.samplers()} == {"psds1", "psds2"}


def test_own_parameters_are_measured_only_when_one_is_given() -> None:
    inputs = inputs_of(2)
    assert OWN.tasks(inputs) == {} and OwnPSDS().configured(NOT_GIVEN).tasks(inputs) == {}
    own = OwnPSDS().configured(NOT_GIVEN | {"dtc": PSDS1.dtc})  # all others are PSDS1's
    standard, found = measure(STANDARD, inputs).numbers(), measure(own, inputs).numbers()
    assert found == {"psds": standard["psds1"], "psds_exact": standard["psds1_exact"]}
    with pytest.raises(UserError, match="--alpha-ct 2 is out of range"):
        OwnPSDS().configured(NOT_GIVEN | {"alpha_ct": 2.0})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("e_max", 0.0, r"--e-max 0 is out of range \(a finite number above 0\)"),
        ("e_max", float("inf"), "--e-max inf"),
        ("alpha_st", float("inf"), "--alpha-st inf"),
        ("alpha_st", float("nan"), "--alpha-st nan"),
    ],
)
def test_own_parameters_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        OwnPSDS().configured(NOT_GIVEN | {name: value})
