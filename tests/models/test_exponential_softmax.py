"""The exponentially weighted mean, against sums frame by frame and its value for one active frame."""

from __future__ import annotations

import math

import pytest
import torch

from sed.models.clip_poolings import ClipInputs, ClipPooling, build_clip_pooling
from sed.models.decoders import build_decoder

GRU = {
    "decoder": "gru",
    "upsample": 1,
    "gru_units": 2,
    "gru_layers": 1,
    "gru_dropout": 0.0,
    "gru_directions": "both",
    "head_dropout": 0.0,
    "head_hidden": 0,
}


def build(name: str) -> ClipPooling:
    return build_clip_pooling({"clip_pooling": name}, decoder=build_decoder(GRU, dim=5, frames=30), classes=3)


def test_equals_sums_over_the_frames_in_double_precision() -> None:
    torch.manual_seed(1)
    y = torch.rand(4, 30, 3)
    clip = build("exponential_softmax")(ClipInputs(y, torch.randn(4, 30, 5)))
    for b in range(4):
        for c in range(3):
            frames = [float(value) for value in y[b, :, c]]
            expected = sum(value * math.exp(value) for value in frames) / sum(math.exp(value) for value in frames)
            assert clip[b, c].item() == pytest.approx(expected, rel=1e-5)


def test_one_frame_of_many_hardly_counts() -> None:
    """One certain frame of n: e / (e + n - 1), where linear softmax answers 1."""
    y = torch.zeros(1, 100, 1)
    y[0, 40] = 1.0
    inputs = ClipInputs(y, y)
    assert build("exponential_softmax")(inputs).item() == pytest.approx(math.e / (math.e + 99), rel=1e-5)
    assert build("linear_softmax")(inputs).item() == pytest.approx(1.0)
