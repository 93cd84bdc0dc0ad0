from typing import Any

import numpy as np
import pytest
from options import post_processing_options
from random_scores import uniform

from sed.errors import UserError
from sed.evaluation.postprocessing.threshold import Threshold


def test_events_are_where_scores_are_above_the_threshold_of_their_class() -> None:
    scores = uniform(2, 50)
    found = Threshold({"b": 0.8, "a": 0.3}).decide(scores.flat())
    active = np.zeros((2, 50, 2), bool)
    for clip, label, onset, offset in zip(found.clip, found.label, found.onset, found.offset, strict=True):
        active[clip, round(onset * 100) : round(offset * 100), label] = True
    np.testing.assert_array_equal(active, scores.frame > np.array([0.3, 0.8]))


def test_an_explicit_half_wins_over_what_is_stored() -> None:
    stored = Threshold({"a": 0.3, "b": 0.2})
    assert Threshold.resolve(post_processing_options(), ["a", "b"]) == Threshold({"a": 0.5, "b": 0.5})
    assert Threshold.resolve(post_processing_options(), ["a", "b"], stored) == stored
    for text in ("0.5", "0.50", "*=.5"):
        given = Threshold.resolve(post_processing_options("--threshold", text), ["a", "b"], stored)
        assert given == Threshold({"a": 0.5, "b": 0.5})


def test_the_stored_form_is_read_as_the_same_thresholds() -> None:
    step = Threshold({"a": 0.3})
    assert step.to_dict() == {"threshold": {"a": 0.3}} and Threshold.from_dict(step.to_dict(), ["a"]) == step


def test_values_by_label_hold_for_labels_of_any_text() -> None:
    labels = ["door, glass", "a=b", "c"]
    own = Threshold(dict(zip(labels, (0.1, 0.2, 0.3), strict=True)))
    assert own.with_values({"door, glass": 0.6, "a=b": 1}, labels).by_label == {
        "door, glass": 0.6,
        "a=b": 1.0,
        "c": 0.3,
    }
    assert own.with_values({"*": 0.4, "c": 0.5}, labels).by_label == {"door, glass": 0.4, "a=b": 0.4, "c": 0.5}
    bad: tuple[dict[str, Any], ...] = ({"door": 0.5}, {"c": 1.5}, {"c": float("nan")}, {"c": "half"}, {"c": None})
    for values in bad:
        with pytest.raises(UserError, match="--threshold: "):
            own.with_values(values, labels)
