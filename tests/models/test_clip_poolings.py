"""Clip posteriors from frame posteriors: values computed by hand, and properties of every pooling of the registry."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sed.models.clip_poolings import CLIP_POOLINGS, ClipInputs, build_clip_pooling
from sed.models.decoders import Decoded, build_decoder


class Summary:
    """Decoder with every output that a clip pooling may need."""

    frames, upsample, summarises = 50, 1, True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def __call__(self, x: Tensor) -> Decoded:
        return Decoded(x, x.mean(1))

    def near(self, x: Tensor) -> None:
        """Make it `Directed`, too."""


def pool(name: str, posteriors: Tensor, hidden: Tensor, summary: Tensor | None = None) -> Tensor:
    classes = posteriors.shape[2]
    pooling = build_clip_pooling({"clip_pooling": name}, decoder=Summary(hidden.shape[2]), classes=classes)
    summary = torch.zeros(len(posteriors), classes) if summary is None else summary
    directions = posteriors.logit().expand(2, *posteriors.shape)
    return pooling(ClipInputs(posteriors, hidden, summary, directions))


def test_equals_values_computed_by_hand() -> None:
    y = torch.tensor([[[0.2, 0.0], [0.6, 0.0]]])
    summary = torch.tensor([[math.log(0.3 / 0.7), -50.0]])
    value = {name: pool(name, y, torch.zeros(1, 2, 3), summary)[0, 0].item() for name in CLIP_POOLINGS}
    assert value["linear_softmax"] == pytest.approx((0.04 + 0.36) / 0.8)
    assert value["mean"] == pytest.approx(0.4)
    assert value["max"] == pytest.approx(0.6)
    assert value["exponential_softmax"] == pytest.approx(
        (0.2 * math.exp(0.2) + 0.6 * math.exp(0.6)) / (math.exp(0.2) + math.exp(0.6))
    )
    assert value["attention"] == pytest.approx(0.4)
    assert value["time_softmax"] == pytest.approx(0.4)  # hidden states are equal, and so are the weights
    assert value["ends"] == pytest.approx(0.4)  # both directions are the frames here: (0.6 + 0.2) / 2
    assert value["token"] == pytest.approx(0.3)  # the posterior of the summary's logit, whatever the frames say


@pytest.mark.parametrize("name", [name for name in CLIP_POOLINGS if name != "token"])
def test_stays_between_the_frames_and_in_range(name: str) -> None:
    torch.manual_seed(0)
    y, hidden = torch.rand(3, 50, 4), torch.randn(3, 50, 6)
    clip = pool(name, y, hidden)
    assert clip.shape == (3, 4)
    assert (clip >= y.amin(1)).all() and (clip <= y.amax(1)).all()
    silent = pool(name, torch.zeros(1, 50, 4), hidden[:1])
    assert torch.equal(silent, torch.full((1, 4), 1e-7))


@pytest.mark.parametrize("name", CLIP_POOLINGS)
def test_rows_of_parameters_are_classes(name: str) -> None:
    """Loading a model for other labels picks rows (`Detector.OF_CLASSES`)."""
    pooling = build_clip_pooling({"clip_pooling": name}, decoder=Summary(6), classes=4)
    assert isinstance(pooling, torch.nn.Module)
    assert all(len(value) == 4 for value in pooling.state_dict().values())


def test_a_token_stays_in_range() -> None:
    y = torch.rand(1, 50, 4)
    assert torch.equal(pool("token", y, y, torch.full((1, 4), -99.0)), torch.full((1, 4), 1e-7))
    assert torch.equal(pool("token", y, y, torch.full((1, 4), 99.0)), torch.ones(1, 4))


def test_a_token_needs_a_decoder_that_has_one(small: Callable[..., dict[str, Any]]) -> None:
    config = small(clip_pooling="token")
    with pytest.raises(ValueError, match="decoder 'gru' has no token"):
        build_clip_pooling(config, decoder=build_decoder(config, dim=6, frames=20), classes=3)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="clip_pooling 'median' is not known"):
        build_clip_pooling({"clip_pooling": "median"}, decoder=Summary(3), classes=2)


def test_ends_are_the_last_frame_forward_and_the_first_backward(small: Callable[..., dict[str, Any]]) -> None:
    ahead, back = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.8, 0.3, 0.2])
    directions = torch.stack([ahead, back]).logit()[:, None, :, None]
    pooling = build_clip_pooling({"clip_pooling": "ends"}, decoder=Summary(6), classes=1)
    lesser = torch.minimum(ahead, back)[None, :, None]
    assert pooling(ClipInputs(lesser, lesser, directions=directions)).item() == pytest.approx((0.9 + 0.8) / 2)
    config = small(clip_pooling="ends")
    with pytest.raises(ValueError, match="use gru_directions: apart"):
        build_clip_pooling(config, decoder=build_decoder(config, dim=6, frames=20), classes=3)
