import numpy as np
import pytest
from options import post_processing_options
from random_scores import uniform
from scipy.ndimage import median_filter

from sed.evaluation.postprocessing.filters import window_frames
from sed.evaluation.postprocessing.median import Median


@pytest.mark.parametrize("frame_seconds", [0.01, 0.064])
def test_filtering_scores_equals_filtering_the_decisions_of_any_threshold(frame_seconds: float) -> None:
    scores = uniform(2, 60, frame_seconds)
    step = Median({"a": 0.32, "b": 0.7})
    processed = step.apply(scores.flat())
    for threshold in (0.1, 0.5, 0.9):
        for clip in range(2):
            for label, name in enumerate("ab"):
                width = window_frames(step.by_label[name], frame_seconds)
                decided = (scores.frame[clip, :, label] > threshold).astype(int)
                got = processed.values[clip * 60 : clip * 60 + 60, label] > threshold
                np.testing.assert_array_equal(got, median_filter(decided, size=width, mode="reflect").astype(bool))


def test_nothing_beyond_its_reach_matters() -> None:
    step = Median({"a": 0.11, "b": 0.23})
    one, other = uniform(1, 101), uniform(1, 101)
    other.frame[0, : 50 - step.reach(0.01)] = other.frame[0, 50 + step.reach(0.01) + 1 :] = 1
    np.testing.assert_array_equal(step.apply(one.flat()).values[50], step.apply(other.flat()).values[50])
    other.frame[0, 50 - step.reach(0.01) :] = 1
    assert step.apply(one.flat()).values[50, 1] != step.apply(other.flat()).values[50, 1]


def test_windows_are_the_papers_unless_others_are_stored_or_given() -> None:
    labels = ["Frying", "Dog", "Whistle"]
    paper = {"Frying": 3.9, "Dog": 0.32, "Whistle": 0.32}
    stored = Median({"Frying": 1.0, "Dog": 2.0, "Whistle": 3.0})
    assert Median.resolve(post_processing_options(), labels).by_label == paper
    assert Median.resolve(post_processing_options(), labels, stored) == stored
    assert Median.resolve(post_processing_options("--median", "paper"), labels, stored).by_label == paper
    given = Median.resolve(post_processing_options("--median", "Dog=0"), labels, stored)
    assert given.by_label == {"Frying": 1.0, "Dog": 0.0, "Whistle": 3.0}
    given = Median.resolve(post_processing_options("--median", "Dog=0"), labels)
    assert given.by_label == {"Frying": 3.9, "Dog": 0.0, "Whistle": 0.32}


def test_the_stored_form_is_read_as_the_same_step() -> None:
    step = Median({"a": 0.1, "b": 2.0})
    assert step.to_dict() == {"median_seconds": {"a": 0.1, "b": 2.0}}
    assert Median.from_dict(step.to_dict(), ["b", "a"]) == step
    with pytest.raises(KeyError):
        Median.from_dict(step.to_dict(), ["a", "c"])
