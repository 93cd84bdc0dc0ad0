"""piPSDS against sed_scores_eval's, and against the PSDS of its filters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import ONE, OWN, SLOWLY, TWO, seeds
from problems import problem, scores

from sed.evaluation.metrics import pipsds
from sed.evaluation.metrics.exact_deltas import StreamedDeltas
from sed.evaluation.metrics.metric import Inputs
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.pipsds import MeasuredPiPSDS, PiPSDS
from sed.evaluation.metrics.psds import Parameters, exact, score_frames, truth_lists

MEDIANS = (0.0, 0.3, 0.5, 0.9)


def measure(seed: int, parameters: Parameters, medians: tuple[float, ...]) -> tuple[Inputs, MeasuredPiPSDS]:
    made = problem(seed, clips=6, events=30)
    inputs = Inputs(problem=made, detections=None, points=None, scores=None, raw=scores(seed, made))
    metric = PiPSDS({"pipsds1": parameters}, medians)
    return inputs, metric.measured(inputs, {name: task() for name, task in metric.tasks(inputs).items()})


@pytest.mark.thorough
@SLOWLY
@given(seeds, st.sampled_from([ONE, TWO, replace(OWN, alpha_st=0.5)]))
def test_pipsds_is_sed_scores_evals(seed: int, parameters: Parameters) -> None:
    inputs, found = measure(seed, parameters, MEDIANS)
    made, raw = inputs.problem, inputs.raw
    assert raw is not None
    crossing = parameters.alpha_ct > 0 and len(made.present) > 1
    value, of_classes, *_ = sed_scores_eval().intersection_based.median_filter_independent_psds(
        score_frames(made, raw),
        truth_lists(made),
        dict(zip(made.clips, map(float, made.durations), strict=True)),
        median_filter_lengths_in_sec=MEDIANS,
        dtc_threshold=parameters.dtc,
        gtc_threshold=parameters.gtc,
        cttc_threshold=parameters.cttc if crossing else None,
        alpha_ct=parameters.alpha_ct if crossing else 0.0,
        alpha_st=parameters.alpha_st,
        max_efpr=parameters.e_max,
    )
    assert found.numbers()["pipsds1"] == pytest.approx(value, abs=1e-9)
    areas = found.of_classes()["pipsds1"]
    for index, label in enumerate(made.labels):
        if index in made.present:
            assert areas[index] == pytest.approx(of_classes[label], abs=1e-9)
        else:
            assert np.isnan(areas[index])


def test_one_filter_is_the_psds_and_more_are_no_worse_for_any_class() -> None:
    inputs, alone = measure(3, ONE, (0.0,))
    assert inputs.raw is not None
    assert alone.numbers()["pipsds1"] == pytest.approx(exact(inputs.problem, ONE, inputs.raw)[0].value, abs=1e-9)
    best = measure(3, ONE, MEDIANS)[1].of_classes()["pipsds1"]
    assert (best >= alone.of_classes()["pipsds1"] - 1e-12).all() and best.sum() > alone.of_classes()["pipsds1"].sum()


def test_without_raw_scores_there_is_no_pipsds() -> None:
    inputs, _ = measure(0, ONE, (0.0,))
    assert not PiPSDS().tasks(replace(inputs, raw=None))


@pytest.mark.parametrize("seed", range(6))
def test_large_label_sets_are_counted_class_by_class_with_the_same_result(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = (ONE, TWO)[seed % 2]
    inputs, expected = measure(seed, parameters, MEDIANS)
    monkeypatch.setattr(pipsds, "MANY", 1)
    assert isinstance(pipsds.filtered_deltas(inputs.problem, parameters, inputs.raw, 0.3), StreamedDeltas)
    found = measure(seed, parameters, MEDIANS)[1]
    weights = np.random.default_rng(seed).integers(0, 3, (4, len(inputs.problem.clips))).astype(float)
    (sample,), other = expected.samplers().values(), found.samplers()["pipsds1"]
    for key, values in sample(weights).items():
        np.testing.assert_allclose(other(weights)[key], values, atol=1e-9)
