"""Frequency dynamic convolution against plain loops, and what its weights may depend on."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sed.models.fdy_convolution import FrequencyDynamicConvolution


def fdy(inside: int = 5, out: int = 3, *, kernels: int = 4, temperature: float = 2.0) -> FrequencyDynamicConvolution:
    torch.manual_seed(0)
    convolution = FrequencyDynamicConvolution(inside, out, kernels=kernels, temperature=temperature)
    norm = convolution.attention[1]
    assert isinstance(norm, nn.BatchNorm1d)
    nn.init.normal_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    return convolution.eval()


def test_each_point_is_the_mixture_of_its_band() -> None:
    """One product at a time: attention from the mean over time, then kernels mixed for each band."""
    convolution, x = fdy(), torch.randn(2, 5, 4, 6)
    state = {key: value.double() for key, value in convolution.state_dict().items()}
    expected = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    for b in range(2):
        clip = x[b].double()
        mean = F.pad(clip.mean(1), (1, 1))
        for f in range(6):
            hidden = (state["attention.0.weight"] * mean[None, :, f : f + 3]).sum((1, 2))
            hidden = (hidden - state["attention.1.running_mean"]) / (state["attention.1.running_var"] + 1e-5).sqrt()
            hidden = (hidden * state["attention.1.weight"] + state["attention.1.bias"]).clamp_min(0)
            logits = state["attention.3.weight"][:, :, 0] @ hidden + state["attention.3.bias"]
            powers = [math.exp(value / 2.0) for value in logits.tolist()]
            kernel = sum(state["weight"][k] * power / sum(powers) for k, power in enumerate(powers))
            padded = F.pad(clip, (1, 1, 1, 1))
            for t in range(4):
                expected[b, :, t, f] = (kernel * padded[None, :, t : t + 3, f : f + 3]).sum((1, 2, 3))
    torch.testing.assert_close(convolution(x).double(), expected, rtol=1e-4, atol=1e-5)


def test_shares_are_of_clip_and_band_and_even_at_a_high_temperature() -> None:
    x = torch.randn(2, 5, 4, 6)
    shares = fdy().shares(x)
    assert shares.shape == (2, 4, 6)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 6))
    torch.testing.assert_close(fdy().shares(x.flip(2)), shares)  # the order of the frames has no say
    assert (fdy(temperature=1e4).shares(x) - 0.25).abs().max() < 1e-3 < (shares - 0.25).abs().max()


def test_one_kernel_is_a_plain_convolution() -> None:
    convolution, x = fdy(kernels=1), torch.randn(2, 5, 4, 6)
    torch.testing.assert_close(convolution(x), F.conv2d(x, convolution.weight[0], padding=1))


@pytest.mark.parametrize("inside, hidden", [(5, 4), (64, 16)])
def test_weights_are_drawn_as_by_the_authors(inside: int, hidden: int) -> None:
    convolution = fdy(inside, 32)
    assert convolution.attention[0].weight.shape == torch.Size((hidden, inside, 3))
    deviation = convolution.weight.std((1, 2, 3, 4))  # Kaiming-normal of each kernel
    torch.testing.assert_close(deviation, torch.full((4,), math.sqrt(2 / (9 * inside))), rtol=0.1, atol=0)
    assert not convolution.attention[3].bias.any()


def test_sums_of_outputs_and_of_kernels_are_equal() -> None:
    convolution, x = fdy().double(), torch.randn(2, 5, 7, 6, dtype=torch.float64, requires_grad=True)
    found = []
    for call in (convolution.sum_of_outputs, convolution.sum_of_kernels):
        y = call(x)
        found.append((y, *torch.autograd.grad(y.square().sum(), [x, convolution.weight])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
