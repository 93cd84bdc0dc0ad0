import numpy as np
import pytest
from options import post_processing_options
from random_scores import uniform

from sed.errors import UserError
from sed.evaluation.postprocessing.boxes import bounding_boxes
from sed.evaluation.postprocessing.csebbs import BoxParameters, Csebbs

LABELS = ["a", "b"]


def test_each_option_that_is_not_given_is_the_stored_one() -> None:
    stored = Csebbs(dict.fromkeys(LABELS, BoxParameters(0.4, 0.1, 2)))
    assert Csebbs.resolve(post_processing_options(), LABELS).by_label == dict.fromkeys(LABELS, BoxParameters())
    assert Csebbs.resolve(post_processing_options(), LABELS, stored) == stored
    # the default's own number, given
    given = Csebbs.resolve(post_processing_options("--csebbs-filter", "0.64"), LABELS, stored)
    assert given.by_label == dict.fromkeys(LABELS, BoxParameters(0.64, 0.1, 2))
    given = Csebbs.resolve(post_processing_options("--csebbs-relative", "a=5"), LABELS)
    assert given.by_label == {"a": BoxParameters(0.64, 0.3, 5.0), "b": BoxParameters()}


@pytest.mark.parametrize("text", ["--csebbs-absolute=1.1", "--csebbs-relative=0.9", "--csebbs-filter=-1"])
def test_numbers_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=text.partition("=")[0]):
        Csebbs.resolve(post_processing_options(text), LABELS)


def test_scores_become_those_of_the_boxes_and_reach_is_a_minute() -> None:
    scores = uniform(2, 300)
    step = Csebbs({"a": BoxParameters(0.2, 0.1, 1.5), "b": BoxParameters()})
    expected = bounding_boxes(scores.flat(), step.by_label)
    found = step.apply(scores.flat())
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.onset, expected.onset)
    assert len(found.values) < 600 and step.reach(0.01) == 6000


def test_the_stored_form_is_read_as_the_same_step() -> None:
    step = Csebbs({"a": BoxParameters(0.2, 0.1, 2), "b": BoxParameters()})
    assert step.to_dict()["csebbs"]["a"] == {"filter_seconds": 0.2, "absolute": 0.1, "relative": 2}
    assert Csebbs.from_dict(step.to_dict(), LABELS) == step
    with pytest.raises(TypeError):
        Csebbs.from_dict({"csebbs": {label: {"width": 1} for label in LABELS}}, LABELS)
    for broken in ({"filter_seconds": "0.2"}, {"absolute": 1.5}, {"relative": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            Csebbs.from_dict({"csebbs": dict.fromkeys(LABELS, broken)}, LABELS)


def test_the_default_is_the_first_candidate_when_tuning() -> None:
    assert Csebbs.candidates(LABELS)[0].by_label == dict.fromkeys(LABELS, BoxParameters())
    assert len(Csebbs.candidates(LABELS)) == 1 + 4 * 4 * 3  # then every combination of the grid
