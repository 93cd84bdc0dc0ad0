"""The gates of a CNN's layers, point by point."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sed.models.gates import GATES, build_gate


@pytest.mark.parametrize("name", GATES)
def test_points_equal_those_computed_by_hand(name: str) -> None:
    torch.manual_seed(0)
    gate, x = build_gate({"cnn_act": name}, 3), torch.randn(2, 3, 4, 5)
    out = gate(x)
    assert out.shape == x.shape
    for b, c, t, f in [(0, 0, 0, 0), (1, 2, 3, 4), (1, 0, 2, 1)]:
        own = x[b, c, t, f].item()
        if name == "relu":
            expected = max(own, 0.0)
        else:
            linear = gate.get_submodule("linear")
            assert isinstance(linear, nn.Linear)
            mapped = sum(linear.weight[c, k].item() * x[b, k, t, f].item() for k in range(3)) + linear.bias[c].item()
            kept, through = {"glu": (mapped, own), "cg": (own, mapped)}[name]
            expected = kept / (1 + math.exp(-through))
        assert out[b, c, t, f].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cnn_act 'gelu' is not known \(glu, cg, relu\)"):
        build_gate({"cnn_act": "gelu"}, 3)
