from dataclasses import replace

import numpy as np
import pytest
from random_scores import uniform

from sed.errors import UserError
from sed.evaluation.metrics.decode import decode_one
from sed.evaluation.postprocessing.weak_mask import WeakMask


def test_a_class_is_silent_at_every_threshold_above_its_clip_posterior() -> None:
    scores = uniform(3, 40)
    masked = WeakMask().apply(scores.flat())
    for threshold in (0.2, 0.5, 0.8):
        plain, silenced = decode_one(scores.flat(), threshold), decode_one(masked, threshold)
        kept = scores.clip[plain.clip, plain.label] > threshold
        np.testing.assert_array_equal(plain.onset[kept], silenced.onset)
        np.testing.assert_array_equal(plain.clip[kept], silenced.clip)


def test_scores_without_clip_posteriors_are_refused() -> None:
    with pytest.raises(UserError, match="leave out weak_mask"):
        WeakMask().apply(replace(uniform(1, 5).flat(), clip_values=None))


def test_it_has_no_options_and_nothing_to_store() -> None:
    assert WeakMask.options == () and WeakMask().to_dict() == {} and WeakMask.from_dict({}, ["a"]) == WeakMask()
    assert WeakMask.needs_clip and WeakMask().reach(0.01) == 0
