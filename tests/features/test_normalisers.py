"""Normalisers see the frames of the clip alone."""

from __future__ import annotations

import pytest
import torch

from sed.features.logmel import NORMALISERS, FrontEnd
from sed.features.padding import PADDINGS


def test_minmax_sees_the_clip_alone():
    front_end = FrontEnd(front_end="stft", frame_length=0.128, frame_shift=0.016, f_min=0, normaliser="minmax")
    logmel = torch.rand(1, 20, 128) * 50
    padded = torch.cat([logmel, torch.zeros(1, 6, 128) - 99], 1)
    x = front_end.normalise(padded, torch.tensor([20]), 30, "normalised")
    torch.testing.assert_close(x, front_end.normalise(logmel, None, 30, "normalised"))
    assert x[0, :20].min() == 0 and x[0, :20].max() == pytest.approx(1)


@pytest.mark.parametrize("name", NORMALISERS)
def test_what_is_after_the_clip_has_no_say(name: str) -> None:
    torch.manual_seed(0)
    front_end, logmel = FrontEnd(normaliser=name), torch.randn(2, 30, 128)
    valid = torch.tensor([20, 30])
    before = [front_end.normalise(logmel, valid, 30, padding) for padding in PADDINGS]
    logmel[0, 20:] = 1e3
    for padding, x in zip(PADDINGS, before, strict=True):
        assert torch.equal(front_end.normalise(logmel, valid, 30, padding), x)
