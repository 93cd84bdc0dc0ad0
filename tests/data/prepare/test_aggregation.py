"""Aggregations of several annotators' events, compared with counts of annotators on a grid of times."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.data.prepare.aggregation import AGGREGATIONS, Annotations, Options, aggregate, harden, shares
from sed.data.prepare.annotators import annotator_scores
from sed.data.soft_events import SoftEvent
from sed.data.tables import Event
from sed.data.targets import FrameTargets

LABELS = ["x", "y"]
HZ, FRAMES = 25, 125
# Off the middles of frames, where the authors' rounding goes down and ours up.
TIMES = st.integers(0, 5000).filter(lambda ms: ms % 40 != 20).map(lambda ms: ms / 1000)
EVENTS = st.lists(
    st.tuples(TIMES, TIMES, st.sampled_from(LABELS)).filter(lambda e: e[0] < e[1]).map(lambda e: Event(*e)), max_size=5
)


def active(events: list[Event]) -> np.ndarray:
    """Return the frames (frames, labels) of an annotator, as RealDESED's authors round them."""
    frames = np.zeros((FRAMES, len(LABELS)))
    for event in events:
        first, last = (math.ceil(time * HZ - 0.5) for time in (event.onset, event.offset))
        frames[first:last, LABELS.index(event.label)] = 1
    return frames


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=4), st.data())
def test_soft_targets_are_the_weighted_mean_of_the_annotators_own_targets(annotators, data):
    drawn = data.draw(st.lists(st.floats(0.01, 1), min_size=len(annotators), max_size=len(annotators)))
    weights = np.array(drawn) / sum(drawn)
    expected = sum(weight * active(events) for weight, events in zip(weights, annotators, strict=True))
    targets = FrameTargets.soft([shares(annotators, weights)], LABELS, frames=FRAMES, frame_seconds=1 / HZ)
    np.testing.assert_allclose(targets[[0]][0], expected, atol=1e-6)


def test_hard_aggregations_are_counts_of_annotators_on_a_grid():
    rng = np.random.default_rng(0)
    for _ in range(30):
        annotators = []
        for _ in range(rng.integers(1, 6)):
            times = np.sort(rng.integers(0, 50, size=(rng.integers(0, 5), 2)), axis=1)
            annotators.append([Event(float(a), float(b), "x") for a, b in times if a < b])
        count = np.zeros(50, int)
        for events in annotators:
            count += [any(e.onset <= t < e.offset for e in events) for t in range(50)]
        marked = Annotations({str(index): events for index, events in enumerate(annotators)})
        many = len(annotators)
        for name, expected in (("majority", 2 * count >= many), ("intersection", count == many), ("union", count > 0)):
            found = aggregate({"a": marked}, Options(name=name))["a"]
            assert found.soft is None
            assert [any(e.onset <= t < e.offset for e in found.events) for t in range(50)] == list(expected)


def test_half_of_the_annotators_are_enough():
    one, two, three = [Event(0, 4, "x")], [Event(2, 6, "x"), Event(3, 5, "x")], [Event(5, 9, "x"), Event(0, 1, "y")]

    def majority(*annotators: list[Event]) -> list[Event]:
        return harden(shares(annotators, [1 / len(annotators)] * len(annotators)), 0.5)

    assert majority(one) == majority(one, []) == one
    assert majority(one, two) == [Event(0, 6, "x")]
    assert majority(one, two, three) == [Event(2, 4, "x"), Event(5, 6, "x")]
    assert majority([Event(0, 1, "x"), Event(1, 2, "x")], []) == [Event(0, 2, "x")]


A, B, C = [Event(0, 4, "x")], [Event(1, 4, "x")], [Event(3, 8, "y")]
RECORDINGS = {
    "both": Annotations({"a": A, "b": B, "c": C}, {"b": B, "r": C}, {"c"}),
    "raw": Annotations({"a": A, "b": B, "c": C}, {}, {"c"}),
    "accepted": Annotations({}, {"r": C}),
}


def test_accepted_rows_count_alone_or_not_at_all():
    with_reviews = aggregate(RECORDINGS, Options(name="uniform"))
    assert with_reviews["both"].soft == [SoftEvent(1, 4, "x", 0.5), SoftEvent(3, 8, "y", 0.5)]
    assert with_reviews["accepted"].events == C
    without = aggregate(RECORDINGS, Options(name="uniform", reviewed=False))
    assert without["both"] == with_reviews["raw"] and "accepted" not in without


def test_weights_are_powers_of_the_scores_and_equal_where_reviewed():
    scores = annotator_scores([RECORDINGS["both"].unreviewed, RECORDINGS["raw"].unreviewed])
    powers = {name: score**4 for name, score in scores.items()}
    found = aggregate(RECORDINGS, Options(name="weighted", alpha=4))
    share = {(e.label, e.onset): e.share for e in found["raw"].soft or []}
    assert share["x", 0] == pytest.approx(powers["a"] / sum(powers.values()))
    assert share["x", 1] == pytest.approx((powers["a"] + powers["b"]) / sum(powers.values()))
    assert found["both"].soft == aggregate(RECORDINGS, Options(name="uniform"))["both"].soft


def test_at_a_high_alpha_the_annotators_with_the_highest_score_have_all_weight():
    alone = {"raw": Annotations({"a": A, "b": B, "c": C})}
    scores = annotator_scores([alone["raw"].unreviewed])
    assert max(scores.values()) ** 1000 == 0  # so the weights cannot be computed from the powers themselves
    found = aggregate(alone, Options(name="weighted", alpha=1000))["raw"]
    assert scores["a"] == scores["b"] == max(scores.values()) > scores["c"]  # A and B agree on x from 1 to 4 s
    assert found.soft == [SoftEvent(0, 1, "x", 0.5), SoftEvent(1, 4, "x", 1.0)]


def test_an_annotator_without_events_in_shared_recordings_is_weighted_by_the_mean_score():
    recordings = {**RECORDINGS, "new": Annotations({"a": A, "d": []}), "alone": Annotations({"d": C})}
    scores = annotator_scores(found.unreviewed for found in recordings.values())
    assert "d" not in scores
    powers = scores["a"] ** 2, (sum(scores.values()) / len(scores)) ** 2
    found = aggregate(recordings, Options(name="weighted", alpha=2))["new"]
    assert found.soft is not None and found.soft[0].share == pytest.approx(powers[0] / sum(powers))


def test_the_collector_decides_and_without_one_the_majority():
    found = aggregate({**RECORDINGS, "none": Annotations({"a": A, "b": B, "c": C})}, Options(name="collector"))
    assert found["raw"].events == C
    assert found["none"].events == [Event(1, 4, "x")]


def test_a_random_annotator_is_the_same_in_every_run_and_not_the_same_in_all_recordings():
    recordings = {f"{index}.wav": Annotations({"a": A, "b": B, "c": C}) for index in range(30)}
    found = [aggregate(recordings, Options(name="random")) for _ in range(2)]
    assert found[0] == found[1]
    assert {tuple(labels.events) for labels in found[0].values()} == {tuple(A), tuple(B), tuple(C)}


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_the_events_of_a_single_annotator_are_kept(name):
    found = aggregate({"a": Annotations({"a": [*A, *C]}), "silent": Annotations({"a": []})}, Options(name=name))
    assert found["a"].events == [*A, *C]
    assert found["a"].soft in (None, [SoftEvent(*event, 1.0) for event in (*A, *C)])
    assert found["silent"].events == []
