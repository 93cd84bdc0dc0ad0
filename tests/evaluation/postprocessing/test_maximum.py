import numpy as np
from options import post_processing_options
from random_scores import uniform

from sed.evaluation.postprocessing.maximum import Maximum


def test_every_score_is_the_highest_of_its_window() -> None:
    scores = uniform(2, 40)
    step = Maximum({"a": 0.07, "b": 0.0})
    found = step.apply(scores.flat()).values.reshape(2, 40, 2)
    assert step.reach(0.01) == 3
    for frame in range(40):
        window = scores.frame[:, max(0, frame - 3) : frame + 4, 0]
        np.testing.assert_array_equal(found[:, frame, 0], window.max(1))
    np.testing.assert_array_equal(found[:, :, 1], scores.frame[:, :, 1])


def test_an_explicit_zero_wins_over_what_is_stored() -> None:
    stored = Maximum({"a": 0.5})
    assert Maximum.resolve(post_processing_options(), ["a"]) == Maximum({"a": 0.0})
    assert Maximum.resolve(post_processing_options(), ["a"], stored) == stored
    assert Maximum.resolve(post_processing_options("--maximum", "0"), ["a"], stored) == Maximum({"a": 0.0})


def test_the_stored_form_is_read_as_the_same_step() -> None:
    step = Maximum({"a": 0.1})
    assert step.to_dict() == {"maximum_seconds": {"a": 0.1}}
    assert Maximum.from_dict(step.to_dict(), ["a"]) == step
