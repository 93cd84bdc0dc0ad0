from dataclasses import replace

import numpy as np
import pytest
from random_scores import uniform

from sed.errors import UserError
from sed.evaluation.postprocessing.csebbs import BoxParameters, Csebbs
from sed.evaluation.postprocessing.maximum import Maximum
from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask

LABELS = ["a", "b"]
MEDIAN, MAXIMUM = Median({"a": 0.05, "b": 0.31}), Maximum({"a": 0.03, "b": 0.07})
BOXES = Csebbs(dict.fromkeys(LABELS, BoxParameters()))
THRESHOLD = Threshold({"a": 0.3, "b": 0.6})


def made(*steps):
    return PostProcessing(steps=steps, threshold=THRESHOLD)


def test_steps_are_applied_in_order():
    scores = uniform(2, 50).flat()
    one, other = made(MEDIAN, MAXIMUM), made(MAXIMUM, MEDIAN)
    np.testing.assert_array_equal(one.apply(scores).values, MAXIMUM.apply(MEDIAN.apply(scores)).values)
    assert (one.apply(scores).values != other.apply(scores).values).any()
    assert one.names == ["median", "maximum"] and one.thresholds(["b", "a"]) == [0.6, 0.3]


@pytest.mark.parametrize("block", [1, 130, 10**6])
def test_clips_in_blocks_give_what_all_at_once_give(monkeypatch, block):
    scores = uniform(5, 50).flat()
    uneven = scores.select(scores.clips[::-1])  # in any order: results must not depend on it
    lengths = np.array([50, 20, 1, 50, 33])
    rows = np.concatenate([uneven.start[clip] + np.arange(length) for clip, length in enumerate(lengths)])
    columns = {name: getattr(uneven, name)[rows] for name in ("onset", "offset", "values")}
    uneven = replace(uneven, start=np.cumsum([0, *lengths]), **columns)
    many_boxes = Csebbs(dict.fromkeys(LABELS, BoxParameters(0.1, 0.2, 1.5)))
    # a filter after boxes depends on the usual length of all clips' frames
    steps = (WeakMask(), MEDIAN, many_boxes, Maximum({"a": 0.1, "b": 0.3}))
    expected = uneven
    for step in steps:
        expected = step.apply(expected)
    monkeypatch.setattr("sed.data.scores.BLOCK", block)
    found = made(*steps).apply(uneven)
    assert found.clips == expected.clips and found.values.dtype == expected.values.dtype
    for name in ("start", "onset", "offset", "values", "clip_values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_reach_is_the_sum_of_the_steps():
    assert made(WeakMask(), MEDIAN, MAXIMUM).reach(0.01) == 15 + 3
    assert made(MEDIAN, BOXES).reach(0.01) == 15 + 6000
    assert made().reach(0.01) == 0


def test_a_step_that_needs_whole_recordings_cannot_be_streamed():
    class Whole(Median):
        name = "whole"

        def reach(self, frame_seconds):  # noqa: ARG002 (the interface)
            return None

    post = made(MEDIAN, Whole({"a": 0.1, "b": 0.1}))
    assert post.apply(uniform(1, 20).flat()).values.shape == (20, 2)
    with pytest.raises(UserError, match="prediction cannot apply whole, which needs whole recordings"):
        post.reach(0.01)


def test_one_step_is_replaced():
    other = Median({"a": 1.0, "b": 1.0})
    assert made(WeakMask(), MEDIAN, MAXIMUM).with_step(other) == PostProcessing(
        steps=[WeakMask(), other, MAXIMUM], threshold=THRESHOLD
    )


def test_masks_come_first_where_that_changes_nothing():
    whole = made(MEDIAN, MAXIMUM, WeakMask(), BOXES)
    first, rest = whole.split()
    assert first.names == ["weak_mask"] and rest.names == ["median", "maximum", "csebbs"]
    scores = uniform(3, 80).flat()
    np.testing.assert_array_equal(whole.apply(scores).values, rest.apply(first.apply(scores)).values)


def test_a_mask_after_boxes_cannot_come_first():
    with pytest.raises(UserError, match=r"weak_mask before csebbs \(--post-processing weak_mask,median,csebbs\)"):
        made(MEDIAN, BOXES, WeakMask()).split()
