"""Attention over time, against loops over frames and against what sets it apart from attention over classes."""

from __future__ import annotations

import math

import pytest
import torch

from sed.models.clip_poolings import ClipInputs, build_clip_pooling
from sed.models.decoders import build_decoder
from sed.models.time_softmax import TimeSoftmax


def pooling(units: int, classes: int) -> TimeSoftmax:
    """Build it for a decoder of width 2 * units."""
    gru = {
        "decoder": "gru",
        "upsample": 1,
        "gru_units": units,
        "gru_layers": 1,
        "gru_dropout": 0.0,
        "head_dropout": 0.0,
        "head_hidden": 0,
        "gru_directions": "both",
    }
    decoder = build_decoder(gru, dim=3, frames=20)
    built = build_clip_pooling({"clip_pooling": "time_softmax"}, decoder=decoder, classes=classes)
    assert isinstance(built, TimeSoftmax)
    return built


def test_equals_loops_over_frames_in_double_precision() -> None:
    torch.manual_seed(2)
    y, hidden, pool = torch.rand(2, 20, 3), torch.randn(2, 20, 4), pooling(2, 3)
    weight, bias = pool.attention.weight.tolist(), pool.attention.bias.tolist()
    clip = pool(ClipInputs(y, hidden))
    for b in range(2):
        for c in range(3):
            scores = [sum(w * h for w, h in zip(weight[c], row, strict=True)) + bias[c] for row in hidden[b].tolist()]
            exponentials = [math.exp(score) for score in scores]
            expected = sum(e * v for e, v in zip(exponentials, y[b, :, c].tolist(), strict=True)) / sum(exponentials)
            assert clip[b, c].item() == pytest.approx(expected, rel=1e-4)


def test_a_class_does_not_depend_on_the_evidence_for_another() -> None:
    """Each class has its own softmax over time; a softmax over classes is one for all."""
    torch.manual_seed(3)
    y, hidden, pool = torch.rand(1, 20, 2), torch.randn(1, 20, 4), pooling(2, 2)
    before = pool(ClipInputs(y, hidden))
    with torch.no_grad():
        pool.attention.weight[1] *= 7
    after = pool(ClipInputs(y, hidden))
    assert torch.equal(before[:, 0], after[:, 0]) and not torch.equal(before[:, 1], after[:, 1])


def test_a_strong_frame_takes_all_the_weight() -> None:
    y, hidden, pool = torch.rand(1, 50, 1), torch.zeros(1, 50, 2), pooling(1, 1)
    hidden[0, 17] = 100.0
    with torch.no_grad():
        pool.attention.weight.fill_(1.0)
    assert pool(ClipInputs(y, hidden)).item() == pytest.approx(y[0, 17, 0].item())
