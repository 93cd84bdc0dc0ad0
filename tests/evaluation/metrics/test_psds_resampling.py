"""PSDS of resampled clips: a clip that is drawn twice counts as two clips."""

import numpy as np
import pytest
from oracles import ONE, TWO
from problems import problem, scores

from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.psds import count_points, exact, value_of
from sed.evaluation.metrics.psds_resampling import Truth, from_deltas, from_points


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_resampled_numbers_equal_scoring_the_drawn_clips_again(seed):
    """A sample that draws a clip twice scores as a set that holds it twice."""
    made = problem(seed, clips=6, events=30)
    given_scores = scores(seed, made)
    drawn = np.random.default_rng(seed).integers(6, size=6)
    weights = np.bincount(drawn, minlength=6).astype(float)[None]
    again = {"clip": [], "label": [], "onset": [], "offset": []}
    for row, clip in enumerate(drawn):
        chosen = made.truth.where(made.truth.clip == clip)
        again["clip"] += [row] * len(chosen)
        for key in ("label", "onset", "offset"):
            again[key] += getattr(chosen, key).tolist()
    copies = [f"copy{row}" for row in range(6)]
    twice = type(made)(
        clips=copies, labels=made.labels, durations=made.durations,
        truth=type(made.truth).of(again["clip"], again["label"], again["onset"], again["offset"]),
    )  # fmt: skip
    of_copies = given_scores.select([made.clips[clip] for clip in drawn])
    of_copies = type(given_scores)(**{**of_copies.__dict__, "clips": copies})
    for parameters in (ONE, TWO):
        expected, _ = exact(twice, parameters, of_copies)
        _, deltas = exact(made, parameters, given_scores)
        value, _ = from_deltas(Truth.of(made.joined), parameters, deltas, weights)
        assert value[0] == pytest.approx(expected.value, abs=1e-12)
        points = operating_points(10)
        expected = value_of(twice, parameters, count_points(twice, parameters, decode(of_copies, points)))
        counts = point_counts(made, parameters, decode(given_scores, points))
        value, _ = from_points(Truth.of(made), parameters, counts, weights)
        assert value[0] == pytest.approx(expected.value, abs=1e-9)
