"""The model that pre-training trains: its two heads, and dropped patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sed.models.tagger import build_tagger
from sed.training.pretraining.pretrainer import Pretrainer


@pytest.fixture
def model(tiny_config: Callable[..., dict[str, Any]]) -> Pretrainer:
    torch.manual_seed(0)
    return Pretrainer(build_tagger(tiny_config(stride_freq=4), 3), 3, detail=2).eval()


def test_frame_logits_are_as_many_as_are_asked_for(model: Pretrainer) -> None:
    tags, frames = model(torch.randn(2, 112, 16), 17)  # of 20: ten time steps, each with a `detail` of two label frames
    assert tags.shape == (2, 3) and frames.shape == (2, 17, 3)


def test_tags_are_the_tagger_s(model: Pretrainer) -> None:
    x = torch.randn(2, 112, 16)
    assert torch.allclose(model(x, 10)[0], model.tagger(x), atol=1e-6)


def test_keeping_all_bands_is_the_default(model: Pretrainer) -> None:
    x, everything = torch.randn(2, 112, 16), torch.arange(model.bands)
    for ours, whole in zip(model(x, 10, everything), model(x, 10), strict=True):
        assert torch.allclose(ours, whole, atol=1e-6)


def test_a_dropped_band_has_no_influence(model: Pretrainer) -> None:
    x, other = torch.randn(2, 112, 16), torch.randn(2, 112, 16)
    changed = x.clone()
    changed[:, :, :4] = other[:, :, :4]  # in the first of the three bands alone: bins 0-7, 4-11 and 8-15
    kept = torch.tensor([1, 2])
    for a, b in zip(model(x, 10, kept), model(changed, 10, kept), strict=True):
        assert torch.equal(a, b)
    assert not torch.allclose(model(x, 10)[1], model(changed, 10)[1], atol=1e-4)
