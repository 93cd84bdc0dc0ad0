"""PSDS of points (false positive rate, true positive rate), against the same integral, interval by interval."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.evaluation.metrics.curves import sweep


def slowly(efpr: np.ndarray, tpr: np.ndarray, label: np.ndarray, classes: int, alpha_st: float, e_max: float) -> float:
    """Return the mean over 0 .. e_max of max(0, mean - alpha_st * std) of each class's best point so far."""
    borders = np.unique(np.concatenate([[0.0], efpr, [e_max]]))
    area = 0.0
    for low, high in pairwise(borders):
        inside = efpr <= low
        best = np.array([tpr[inside & (label == k)].max(initial=0.0) for k in range(classes)])
        area += (high - low) * max(0.0, best.mean() - alpha_st * best.std())
    return area / e_max


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]))
def test_it_is_the_area_under_the_psd_roc(seed: int, alpha_st: float) -> None:
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(1, 30)), int(rng.integers(1, 4))
    efpr = rng.integers(0, 10, count) * 10.0  # with ties
    tpr, label = rng.random(count), rng.integers(classes, size=count)
    areas = np.empty(classes)
    value = sweep(efpr, tpr, label, classes, alpha_st, 100.0, areas)
    assert value == pytest.approx(slowly(efpr, tpr, label, classes, alpha_st, 100.0), abs=1e-12)
    for k in range(classes):
        own = label == k
        expected = slowly(efpr[own], tpr[own], np.zeros(own.sum(), int), 1, 0.0, 100.0)
        assert areas[k] == pytest.approx(expected, abs=1e-12)


def test_finding_all_without_false_positives_is_1_and_finding_nothing_is_0() -> None:
    areas = np.empty(2)
    assert sweep(np.zeros(2), np.ones(2), np.arange(2), 2, 1.0, 100.0, areas) == 1.0 and areas.tolist() == [1.0, 1.0]
    assert sweep(np.zeros(0), np.zeros(0), np.zeros(0, int), 2, 1.0, 100.0, areas) == 0.0
    # found in one class of two: mean 1/2, standard deviation 1/2
    assert sweep(np.zeros(1), np.ones(1), np.zeros(1, int), 2, 1.0, 100.0, areas) == 0.0
