"""Registry of gates (activations) after the batch norm of a CNN's layer, on (batch, channels, frames, bands).

A new gate is a class that is constructed with the number of channels, and a line of `GATES`. Letters such as (D) name
sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.registry import chosen

GATES = {
    "glu": "sed.models.gates:GatedLinear",
    "cg": "sed.models.gates:ContextGating",
    "relu": "sed.models.gates:Rectified",
}
OPTIONS = {
    "cnn_act": {
        "default": "cg",
        "help": "gate after a batch norm: glu: linear(x) * sigmoid(x) (D); cg: x * sigmoid(linear(x)) (F); "
        "relu: a ReLU instead",
        "choices": GATES,
    },
}


class GatedLinear(nn.Module):
    """Gated linear unit of the DCASE baseline, over channels: linear(x) * sigmoid(x) (D)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return over_channels(self.linear, x) * torch.sigmoid(x)


class ContextGating(nn.Module):
    """Context gating, over channels: x * sigmoid(linear(x)) (F)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(over_channels(self.linear, x))


class Rectified(nn.Module):
    """ReLU, without a gate."""

    def __init__(self, channels: int) -> None:  # noqa: ARG002 (constructor of all gates)
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


def over_channels(linear: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear map over the channels of (batch, channels, frames, bands)."""
    mapped: Tensor = linear(x.permute(0, 2, 3, 1))
    return mapped.permute(0, 3, 1, 2)


def build_gate(config: Mapping[str, Any], channels: int) -> nn.Module:
    """Build the gate that a flat config names, for this number of channels; raise ValueError if there is none."""
    gate: nn.Module = chosen(GATES, config["cnn_act"], "cnn_act")(channels)
    return gate
