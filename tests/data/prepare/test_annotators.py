"""Scores of annotators, compared with values computed by hand."""

import pytest

from sed.data.prepare.annotators import SHRINKAGE, annotator_scores
from sed.data.tables import Event


def test_the_score_is_the_mean_dice_shrunk_towards_the_mean_of_all():
    # Over x and y: a and b agree in 2 of (4 + 2) / 2 s of x, and y is b's alone; c has nothing.
    first = {"a": [Event(0, 4, "x")], "b": [Event(2, 4, "x"), Event(5, 6, "y")], "c": []}
    second = {"a": [Event(0, 1, "x")], "d": [Event(0, 1, "x")]}
    agreed = (2 * 2 / (4 + 2) + 0) / 2
    own = {"a": (agreed + 1) / 2, "b": agreed, "d": 1.0}
    mean = sum(own.values()) / 3
    expected = {
        name: n / (n + SHRINKAGE) * own[name] + SHRINKAGE / (n + SHRINKAGE) * mean
        for name, n in {"a": 2, "b": 1, "d": 1}.items()
    }
    assert annotator_scores([first, second, {"e": [Event(0, 1, "x")]}]) == pytest.approx(expected)


def test_three_annotators_are_compared_in_pairs():
    found = annotator_scores([{"a": [Event(0, 1, "x")], "b": [Event(0, 1, "x")], "c": [Event(1, 2, "x")]}])
    own, other = 0.5, 0.0  # an annotator's own score has the weight 1 / (1 + SHRINKAGE) = 1 / 6: one shared recording
    mean = (own + own + other) / 3
    assert found["a"] == found["b"] == pytest.approx(own / 6 + 5 / 6 * mean)
    assert found["c"] == pytest.approx(other / 6 + 5 / 6 * mean)


def test_events_are_compared_in_frames_of_40_ms_that_count_by_their_middle():
    # a has frames 0 and 1 (middles at 20 and 60 ms; its offset is the middle of the next), b has frames 0 to 4
    found = annotator_scores([{"a": [Event(0, 0.1, "x")], "b": [Event(0, 0.2, "x")]}])
    assert found == pytest.approx(dict.fromkeys("ab", 2 * 2 / (2 + 5)))


def test_overlapping_events_of_one_annotator_count_once():
    twice = [Event(0, 3, "x"), Event(1, 4, "x")]
    assert annotator_scores([{"a": twice, "b": [Event(0, 4, "x")]}]) == {"a": 1.0, "b": 1.0}


def test_without_recordings_of_two_annotators_there_are_no_scores():
    assert annotator_scores([{"a": [Event(0, 1, "x")]}, {}]) == {}
