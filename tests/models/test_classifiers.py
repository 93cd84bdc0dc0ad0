"""The last layer: logits of a published head's classes as those of a class map, against posteriors in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sed.errors import UserError
from sed.models.classifiers import MergedClassifier, highest, noisy_or
from sed.models.detector import build_detector

MEMBERS = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]], bool)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_a_merged_posterior_is_the_highest_or_the_probability_of_at_least_one() -> None:
    logits = 4 * np.random.default_rng(0).standard_normal((2, 7, 5))
    given, members = torch.from_numpy(logits.astype(np.float32)), torch.from_numpy(MEMBERS)
    posteriors = sigmoid(logits.astype(np.float32).astype(float))
    most = np.stack([posteriors[..., row].max(-1) for row in MEMBERS], -1)
    any_of = np.stack([1 - (1 - posteriors[..., row]).prod(-1) for row in MEMBERS], -1)
    np.testing.assert_allclose(highest(given, members).sigmoid(), most, atol=1e-6)
    np.testing.assert_allclose(noisy_or(given, members).sigmoid(), any_of, atol=1e-6)


def test_one_member_is_itself_and_extremes_stay_finite() -> None:
    logits = torch.tensor([-90.0, -20.0, -3.0, 0.0, 5.0, 40.0, 90.0])[:, None].requires_grad_()
    merged = noisy_or(logits, torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(merged[1:], logits[1:], rtol=1e-5, atol=1e-5)
    assert merged[0] < -60  # posteriors are limited to 1e-30, whose logit is -69
    merged.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    many = noisy_or(torch.tensor([[-300.0, 300.0, 300.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert many.isfinite().all() and many.sigmoid() == 1


def test_a_detector_merges_its_head_s_classes(small: Callable[..., dict[str, Any]]) -> None:
    values = {"encoder": "atst_frame", "pooling": "mean", "decoder": "none", "upsample": 1, "clip_pooling": "max"}
    whole = build_detector(small(**values), 5).eval()
    merged = build_detector(small(**values, class_merge="max", source_classes=5), 3).eval()
    assert isinstance(merged.classifier, MergedClassifier)
    state = {name.replace("classifier.", "classifier.head."): value for name, value in whole.state_dict().items()}
    merged.load_state_dict({**state, "classifier.members": torch.from_numpy(MEMBERS)})
    x = torch.randn(2, merged.input_frames, 64)
    with torch.inference_mode():
        own, ours = whole(x), merged(x)
    assert ours.logits.shape == (2, own.logits.shape[1], 3)
    for column, row in enumerate(MEMBERS):
        assert torch.equal(ours.logits[..., column], own.logits[..., row].amax(-1))
    assert torch.equal(ours.clip, ours.logits.sigmoid().amax(1).clamp(1e-7, 1))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"class_merge": "max"}, "class_merge without source_classes"),
        ({"class_merge": "max", "source_classes": 5, "gru_directions": "apart"}, "heads have no separate directions"),
    ],
)
def test_inconsistent_options_are_refused(
    values: dict[str, Any], message: str, small: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(UserError, match=message):
        build_detector(small(**values), 3)
