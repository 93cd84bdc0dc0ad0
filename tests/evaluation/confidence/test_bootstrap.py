"""Bootstrap over clips: draws, intervals, the file of samples, and agreement with the metric packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import detections, problem, scores

from sed.errors import UserError
from sed.evaluation.confidence import bootstrap
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.evaluate import Evaluation, evaluate, summary
from sed.evaluation.metrics.metric import Measured, Values
from sed.evaluation.metrics.task import Problem


def scored(seed: int = 0) -> tuple[Problem, Evaluation]:
    made = problem(seed, clips=6, events=30)
    frames = scores(seed, made)
    found = detections(seed, made)
    return made, evaluate(made, detections=found, points=decode(frames, operating_points(8)), scores=frames)


def test_draws_have_every_clip_once_and_then_as_many_as_there_are() -> None:
    weights = bootstrap.draw(50, 400, seed=3)
    assert weights.shape == (401, 50) and (weights[0] == 1).all() and (weights.sum(1) == 50).all()
    np.testing.assert_array_equal(weights, bootstrap.draw(50, 400, seed=3))
    assert (weights[1:] != bootstrap.draw(50, 400, seed=4)[1:]).any()
    # each clip is drawn once on average, with the variance of a multinomial
    assert weights[1:].mean() == 1 and weights[1:].var() == pytest.approx(49 / 50, rel=0.05)


@pytest.mark.thorough
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_sample_is_the_set_itself(jobs: int) -> None:
    made, evaluation = scored()
    names, values = bootstrap.resample(made, evaluation, samples=120, jobs=jobs)
    assert bootstrap.disagreements(summary(made, evaluation), names, values) == []
    one, other = bootstrap.resample(made, evaluation, samples=120), (names, values)
    assert one[0] == other[0]
    np.testing.assert_array_equal(one[1], other[1])  # whatever the number of processes


class Total(Measured):
    """A metric with one number, the clips drawn times a factor; samplers of all instances have one name."""

    def __init__(self, key: str, factor: float) -> None:
        self.key, self.factor = key, factor

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        return {"total": lambda weights: {self.key: self.factor * weights.sum(1)}}


def test_samplers_of_two_metrics_may_have_one_name() -> None:
    made, evaluation = scored()
    evaluation = replace(evaluation, measured=(Total("once", 1), Total("twice", 2)))
    names, values = bootstrap.resample(made, evaluation, samples=3)
    assert names == ["once", "twice"] and values.tolist() == [[6.0] * 4, [12.0] * 4]


@pytest.mark.thorough
def test_a_value_that_differs_from_its_package_is_named() -> None:
    made, evaluation = scored()
    names, values = bootstrap.resample(made, evaluation, samples=2)
    result = summary(made, evaluation)
    result["psds1"] += 1e-3
    result["per_class"][made.labels[0]]["event_f1"] += 1e-3
    said = bootstrap.disagreements(result, names, values)
    assert [text.split(":")[0] for text in said] == [f"{made.labels[0]} event_f1", "psds1"]


def test_an_interval_is_the_central_95_per_cent_of_what_is_defined() -> None:
    values = np.arange(1001.0)
    assert bootstrap.interval(values) == pytest.approx((25.0, 975.0))
    assert bootstrap.interval(np.concatenate([values, [np.nan] * 500])) == pytest.approx((25.0, 975.0))
    assert bootstrap.interval(np.concatenate([values, [np.nan] * 1100])) is None
    assert bootstrap.interval(np.array([np.nan, 1.0])) is None


def test_intervals_stand_beside_their_numbers() -> None:
    result: dict[str, Any] = {"per_class": {"x": {}}}
    values = np.stack([np.arange(200.0), np.full(200, 3.0), np.full(200, np.nan)])
    bootstrap.add_intervals(result, ["psds1", "x\tevent_f1", "x\tpsds1"], values)
    assert set(result["intervals"]) == {"psds1"} and result["per_class"]["x"]["intervals"] == {"event_f1": [3.0, 3.0]}


def test_the_digest_differs_for_other_clips_durations_or_truth() -> None:
    made = problem(0)
    same = bootstrap.digest(made)
    assert same == bootstrap.digest(problem(0))
    longer = replace(made, durations=made.durations + 1)
    fewer = replace(made, truth=made.truth.where(made.truth.clip > 0))
    renamed = replace(made, clips=[f"{clip}.wav" for clip in made.clips])
    assert len({same, *map(bootstrap.digest, (longer, fewer, renamed, problem(1)))}) == 5


def test_samples_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.npz"
    samples = bootstrap.Samples(names=["a", "x\tb"], values=np.array([[0.5, np.nan], [1.0, 2.0]]), clips="c", seed=7)
    bootstrap.save(path, samples)
    again = bootstrap.load(path)
    assert (again.names, again.clips, again.seed) == (["a", "x\tb"], "c", 7)
    np.testing.assert_array_equal(again.values, samples.values)
    assert again.of("x\tb").tolist() == [1.0, 2.0]
    whole = path.read_bytes()
    encrypted = bytearray(whole)  # a member marked as such
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1
    for damaged in (whole[:100], whole[:-30], b"x", b"", bytes(encrypted)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"bootstrap\.npz: damaged"):
            bootstrap.load(path)
    for change in (
        {"seed": [1, 2]},
        {"values": np.zeros(2)},
        {"values": np.zeros((3, 2))},
        {"values": np.zeros((2, 0))},
        {"values": [["x"], ["y"]]},
    ):
        content: dict[str, Any] = {"names": ["a", "b"], "values": np.zeros((2, 2)), "clips": "c", "seed": 0, **change}
        np.savez(path, **content)
        with pytest.raises(UserError, match=r"bootstrap\.npz: damaged"):
            bootstrap.load(path)
    with pytest.raises(UserError, match="no bootstrap samples"):
        bootstrap.load(tmp_path / "other.npz")
