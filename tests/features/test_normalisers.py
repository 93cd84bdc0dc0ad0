"""Values of normalisers, which depend on the frames of the clip only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sed.errors import UserError
from sed.features.logmel import NORMALISERS, FrontEnd
from sed.features.padding import PADDINGS

BINS = ",".join(map(str, [*range(-64, 64), *range(1, 129)]))  # means, then deviations


def test_minmax_uses_only_the_clip():
    front_end = FrontEnd(front_end="stft", frame_length=0.128, frame_shift=0.016, f_min=0, normaliser="minmax")
    logmel = torch.rand(1, 20, 128) * 50
    padded = torch.cat([logmel, torch.zeros(1, 6, 128) - 99], 1)
    x = front_end.normalise(padded, torch.tensor([20]), 30, "normalised")
    torch.testing.assert_close(x, front_end.normalise(logmel, None, 30, "normalised"))
    assert x[0, :20].min() == 0 and x[0, :20].max() == pytest.approx(1)


@pytest.mark.parametrize("name", NORMALISERS)
def test_frames_after_the_clip_have_no_influence(name: str) -> None:
    torch.manual_seed(0)
    front_end, logmel = FrontEnd(normaliser=name, norm_bins=BINS), torch.randn(2, 30, 128)
    valid = torch.tensor([20, 30])
    before = [front_end.normalise(logmel, valid, 30, padding) for padding in PADDINGS]
    logmel[0, 20:] = 1e3
    for padding, x in zip(PADDINGS, before, strict=True):
        assert torch.equal(front_end.normalise(logmel, valid, 30, padding), x)


@pytest.mark.parametrize("name", NORMALISERS)
def test_values_are_those_of_the_formulas(name: str) -> None:
    front_end = FrontEnd(normaliser=name, norm_bins=BINS, norm_mean=-3, norm_std=2)
    x = torch.randn(2, 30, 128).double().numpy()
    expected = {
        "none": x,
        "fixed": (x + 3) / 4,
        "minmax": (x - x.min((1, 2), keepdims=True)) / np.ptp(x, (1, 2), keepdims=True),
        "minmax_bins": (x - x.min(1, keepdims=True)) / np.ptp(x, 1, keepdims=True),
        "bins": (x - np.arange(-64, 64)) / np.arange(1, 129),
    }[name]
    found = front_end.normalise(torch.from_numpy(x), None, 30, "raw").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    clamped = FrontEnd(normaliser=name, norm_bins=BINS, norm_mean=-3, norm_std=2, norm_clamp=0.5)
    np.testing.assert_allclose(
        clamped.normalise(torch.from_numpy(x), None, 30, "raw"), expected.clip(-0.5, 0.5), rtol=1e-5, atol=1e-5
    )


def test_statistics_of_another_size_are_refused() -> None:
    for bad in (
        "1,2,3",
        BINS + ",1",
        BINS.replace("128", "0"),
        BINS.replace("128", "nan"),
        BINS.replace("128", "1e-50"),
        "a" + BINS,
    ):
        with pytest.raises(UserError, match="norm_bins is not 128 means and 128 standard deviations"):
            FrontEnd.from_config({"normaliser": "bins", "norm_bins": bad})
