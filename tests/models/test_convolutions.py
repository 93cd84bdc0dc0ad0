"""Every convolution of the registry keeps the numbers of frames and bands, and processes clips independently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sed.models.convolutions import CONVOLUTIONS, build_convolution


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_frames_and_bands_stay_every_parameter_learns_and_clips_are_independent(
    small: Callable[..., dict[str, Any]], name: str
) -> None:
    torch.manual_seed(0)
    convolution = build_convolution(small(cnn_conv=name), 3, 6)
    x = torch.randn(4, 3, 7, 8)
    out = convolution(x)
    assert out.shape == (4, 6, 7, 8)
    out.square().mean().backward()
    assert [n for n, p in convolution.named_parameters() if p.grad is None or not p.grad.any()] == []
    convolution.eval()
    torch.testing.assert_close(convolution(x)[2:3], convolution(x[2:3]), rtol=0, atol=1e-5)


def test_an_unknown_name_is_refused(small: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"cnn_conv 'odd' is not known \(plain, fdy, sk\)"):
        build_convolution({**small(), "cnn_conv": "odd"}, 3, 6)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_autocast_s_precision_is_kept(small: Callable[..., dict[str, Any]], name: str) -> None:
    """A float32 output would double the memory that the following layers read."""
    convolution = build_convolution(small(cnn_conv=name), 3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        out = convolution(torch.randn(2, 3, 7, 8))
    assert out.dtype == torch.bfloat16 and out.isfinite().all()
