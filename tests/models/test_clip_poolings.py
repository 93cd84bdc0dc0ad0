"""Clip posteriors from frame posteriors: by hand, and what every pooling of the registry keeps to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sed.models.clip_poolings import CLIP_POOLINGS, build_clip_pooling


def pool(name: str, posteriors: Tensor, hidden: Tensor) -> Tensor:
    pooling = build_clip_pooling({"clip_pooling": name}, dim=hidden.shape[2], classes=posteriors.shape[2])
    return pooling(posteriors, hidden)


def test_by_hand() -> None:
    y = torch.tensor([[[0.2, 0.0], [0.6, 0.0]]])
    value = {name: pool(name, y, torch.zeros(1, 2, 3))[0, 0].item() for name in CLIP_POOLINGS}
    assert value["linear_softmax"] == pytest.approx((0.04 + 0.36) / 0.8)
    assert value["mean"] == pytest.approx(0.4)
    assert value["max"] == pytest.approx(0.6)
    assert value["attention"] == pytest.approx(0.4)  # no evidence, equal weights


@pytest.mark.parametrize("name", CLIP_POOLINGS)
def test_stays_between_the_frames_and_in_range(name: str) -> None:
    torch.manual_seed(0)
    y, hidden = torch.rand(3, 50, 4), torch.randn(3, 50, 6)
    clip = pool(name, y, hidden)
    assert clip.shape == (3, 4)
    assert (clip >= y.amin(1)).all() and (clip <= y.amax(1)).all()
    silent = pool(name, torch.zeros(1, 50, 4, requires_grad=True), hidden[:1])
    assert torch.equal(silent, torch.full((1, 4), 1e-7))


@pytest.mark.parametrize("name", CLIP_POOLINGS)
def test_rows_of_parameters_are_classes(name: str) -> None:
    """Loading a model for other labels picks rows (`Detector.OF_CLASSES`)."""
    pooling = build_clip_pooling({"clip_pooling": name}, dim=6, classes=4)
    assert isinstance(pooling, torch.nn.Module)
    assert all(len(value) == 4 for value in pooling.state_dict().values())


def test_unknown() -> None:
    with pytest.raises(ValueError, match="clip_pooling 'median' is not known"):
        build_clip_pooling({"clip_pooling": "median"}, dim=3, classes=2)
