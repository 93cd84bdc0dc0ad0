"""Batch norm of descriptors of clips: torch's, and defined for one clip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sed.models.clip_norm import ClipNorm


@pytest.mark.parametrize("shape", [(4, 3), (1, 3, 5), (4, 3, 1)])
def test_is_the_batch_norm_of_torch_for_more_than_one_value(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ours, theirs = ClipNorm(3, eps=0.001, momentum=0.99), nn.BatchNorm1d(3, eps=0.001, momentum=0.99)
    x = torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    for (name, value), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert torch.equal(ours.eval()(x[:1]), theirs.eval()(x[:1]))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1)])
def test_one_value_is_normed_by_the_running_statistics(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm, x = ClipNorm(3), torch.randn(shape)
    nn.init.normal_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    found = norm(x)
    assert torch.equal(found, norm.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
