"""Exact PSDS class by class: every change of every count, and the value, are sed_scores_eval's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import ONE, OWN, SLOWLY, TWO, seeds
from problems import problem, scores

from sed.evaluation.metrics.exact_deltas import TOGETHER, StreamedDeltas, exact_of_many
from sed.evaluation.metrics.psds import Deltas, exact
from sed.evaluation.metrics.psds_resampling import Truth, from_deltas

EDGE = replace(OWN, dtc=0.0, gtc=0.0, cttc=0.0)  # criteria that are met without any overlap


def changes(deltas: Iterable[Deltas]) -> list[dict[tuple[float, int, str], int]]:
    """Return {(score, clip, count): its change} of each class; several rows of one score and clip are summed."""
    found = []
    for one in deltas:
        total: Counter[tuple[float, int, str]] = Counter()
        for row, (score, clip) in enumerate(zip(one.score.tolist(), one.clip.tolist(), strict=True)):
            total[score, clip, "tp"] += int(one.tp[row])
            total[score, clip, "fp"] += int(one.fp[row])
            for place in range(one.ct_first[row], one.ct_first[row + 1]):
                total[score, clip, f"ct {one.ct_label[place]}"] += int(one.ct_change[place])
        found.append({key: change for key, change in total.items() if change})
    return found


@SLOWLY
@given(seeds, st.sampled_from([ONE, TWO, OWN, EDGE]), st.integers(1, 3), st.integers(1, 2))
def test_every_change_and_the_value_are_the_packages(seed, parameters, classes, decimals):
    made = problem(seed, classes=classes, events=16)
    noisy = scores(seed, made)
    noisy = noisy.with_values(np.round(noisy.values, decimals))  # many equal scores
    value, deltas = exact(made, parameters, noisy)
    streamed = StreamedDeltas(made, parameters, noisy)
    assert len(streamed) == len(made.present)
    assert changes(streamed) == changes(deltas)
    ours = exact_of_many(made, parameters, noisy)
    assert ours.value == pytest.approx(value.value, abs=1e-12)
    assert ours.per_class == pytest.approx(value.per_class, abs=1e-12)
    heights = np.append(0.0, value.etpr)[np.searchsorted(value.efpr, ours.efpr, side="right")]
    np.testing.assert_allclose(ours.etpr, heights, atol=1e-12)
    weights = np.random.default_rng(seed).integers(0, 3, (4, len(made.clips))).astype(float)
    for mine, theirs in zip(
        from_deltas(Truth.of(made.joined), parameters, streamed, weights),
        from_deltas(Truth.of(made.joined), parameters, deltas, weights),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_more_classes_than_are_read_at_once_have_the_packages_changes_and_value():
    made = problem(3, clips=4, classes=3, events=50)
    labels = [f"class {k:02d}" for k in range(40)]
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 40, len(made.truth))
    many = replace(
        made, labels=labels, truth=type(made.truth).of(made.truth.clip, columns, made.truth.onset, made.truth.offset)
    )
    noisy = scores(3, many)
    value, deltas = exact(many, TWO, noisy)
    assert len(many.present) > TOGETHER
    assert changes(StreamedDeltas(many, TWO, noisy)) == changes(deltas)
    assert exact_of_many(many, TWO, noisy).value == pytest.approx(value.value, abs=1e-12)
