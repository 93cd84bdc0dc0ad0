"""Selective kernels against plain loops, and the shares of the branches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sed.models.sk_convolution import SelectiveKernelConvolution


def sk(out: int = 4, *, reduction: int = 2, least: int = 3) -> SelectiveKernelConvolution:
    torch.manual_seed(0)
    convolution = SelectiveKernelConvolution(2, out, reduction=reduction, least=least)
    for norm in convolution.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    return convolution.eval()


def normed(state: dict[str, Any], name: str, values: torch.Tensor) -> torch.Tensor:
    """Batch norm and ReLU of values (channels, ...)."""
    of = {key: state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
    of = {key: value.reshape(-1, *[1] * (values.ndim - 1)) for key, value in of.items()}
    scaled = (values - of["running_mean"]) / (of["running_var"] + 0.001).sqrt() * of["weight"] + of["bias"]
    return scaled.clamp_min(0)


def test_equals_loops_over_points() -> None:
    convolution, x = sk(), torch.randn(2, 2, 5, 6)
    state = {key: value.double() for key, value in convolution.state_dict().items()}
    for b in range(2):
        padded = F.pad(x[b].double(), (2, 2, 2, 2))
        branches = []
        for i, reach in enumerate((1, 2)):
            found = torch.zeros(4, 5, 6, dtype=torch.float64)
            for t in range(5):
                for f in range(6):
                    rows = [t + 2 + reach * step for step in (-1, 0, 1)]
                    columns = [f + 2 + reach * step for step in (-1, 0, 1)]
                    patch = padded[:, rows][:, :, columns]
                    found[:, t, f] = (state[f"branches.{i}.0.weight"] * patch).sum((1, 2, 3))
            branches.append(normed(state, f"branches.{i}.1", found))
        s = (branches[0] + branches[1]).mean((1, 2))
        z = normed(state, "norm", state["descriptor.weight"] @ s)
        a, b_ = (state[f"choices.{i}.weight"] @ z for i in range(2))
        expected = torch.stack(
            [
                branches[0][c] / (1 + math.exp(b_[c] - a[c])) + branches[1][c] / (1 + math.exp(a[c] - b_[c]))
                for c in range(4)
            ]
        )
        torch.testing.assert_close(convolution(x)[b].double(), expected, rtol=1e-4, atol=1e-5)


def test_lies_between_its_branches() -> None:
    convolution, x = sk(), torch.randn(2, 2, 5, 6)
    first, second = (branch(x) for branch in convolution.branches)
    out = convolution(x)
    assert (out >= torch.minimum(first, second) - 1e-6).all() and (out <= torch.maximum(first, second) + 1e-6).all()


@pytest.mark.parametrize("out, reduction, size", [(8, 4, 3), (16, 2, 8)])
def test_the_descriptor_has_a_minimum_size(out: int, reduction: int, size: int) -> None:
    assert sk(out, reduction=reduction, least=3).descriptor.out_features == size


def test_the_second_branch_reaches_one_point_further_to_each_side() -> None:
    convolution, x = sk(), torch.zeros(1, 2, 9, 9)
    x[0, 0, 4, 4] = 1.0
    reach = []
    for branch in convolution.branches:
        out = branch[0](x)[0].abs().sum(0)
        where = out.nonzero()
        reach.append((where.amax(0) - where.amin(0)).tolist())
    assert reach == [[2, 2], [4, 4]]
