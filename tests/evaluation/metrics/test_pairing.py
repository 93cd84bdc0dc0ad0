"""Pairing of detections and events, against search over all pairs and a grid of milliseconds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import seeds

from sed.evaluation.metrics.packages import sed_eval
from sed.evaluation.metrics.pairing import fitting, pairs, shared, split_and_merged


def spans(rng: np.random.Generator, most: int = 5) -> np.ndarray:
    onset = rng.integers(0, 60, rng.integers(0, most + 1)) / 20
    return np.stack([onset, onset + rng.integers(1, 30, len(onset)) / 20], 1).round(3).reshape(-1, 2)


def near(rng: np.random.Generator, true: np.ndarray) -> np.ndarray:
    """Return detections off by whole steps of 50 ms, so that some are off by exactly a collar, and others anywhere."""
    moved = true + rng.integers(-5, 6, true.shape) / 20
    kept = moved[(moved[:, 1] > moved[:, 0]) & (rng.random(len(moved)) < 0.8)]
    return np.concatenate([kept, spans(rng, 3)]).round(3)


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from([0.05, 0.2, 0.5]))
def test_as_many_pairs_as_the_best_of_all_pairings(seed: int, collar: float) -> None:
    rng = np.random.default_rng(seed)
    true = spans(rng, 4)
    found = near(rng, true)
    fit = fitting(true, found, collar)
    theirs = sed_eval().sound_event.EventBasedMetrics
    for (row, event), (column, detection) in itertools.product(enumerate(true), enumerate(found)):
        times = [dict(zip(("onset", "offset"), map(float, one), strict=True)) for one in (event, detection)]
        onset = theirs.validate_onset(*times, t_collar=collar)
        assert fit[row, column] == (onset and theirs.validate_offset(*times, t_collar=collar, percentage_of_length=0.2))
    made = pairs(fit)
    assert all(fit[row, column] for row, column in made.items()) and len({*made.values()}) == len(made)
    columns = [*range(len(found)), *[-1] * len(true)]
    best = max(
        sum(column >= 0 and bool(fit[row, column]) for row, column in enumerate(chosen))
        for chosen in itertools.permutations(columns, len(true))
    )
    assert len(made) == best


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_shared_time_and_split_and_merged_events_are_those_of_a_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = spans(rng)
    found = near(rng, true)
    cells = [[{*range(round(1000 * a), round(1000 * b))} for a, b in side] for side in (true, found)]
    together = np.maximum(shared(true, found), 0.0)
    for row, column in np.ndindex(len(true), len(found)):
        assert together[row, column] == pytest.approx(len(cells[0][row] & cells[1][column]) / 1000, abs=1e-9)
    # a millisecond more makes every length odd, so that no overlap is exactly half of a length
    true, found = (np.stack([side[:, 0], side[:, 1] + 0.001], 1) for side in (true, found))
    events, wide = ([{*range(round(1000 * a), round(1000 * b))} for a, b in side] for side in (true, found))
    split, merged = split_and_merged(true, found)
    assert split.tolist() == [sum(2 * len(e & d) > len(d) for d in wide) > 1 for e in events]
    holders = [{n for n, e in enumerate(events) if 2 * len(e & d) > len(e)} for d in wide]
    expected = set().union(*(held for held in holders if len(held) > 1))
    assert [n for n in range(len(true)) if merged[n]] == sorted(expected)
