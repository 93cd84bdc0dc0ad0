"""The registry of a CNN's convolutions: (batch, channels in, frames, bands) to (batch, channels out, frames, bands).

A new one is a module with `OPTIONS` and a function that builds it from a config and both numbers of channels, and a
line of `CONVOLUTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn

from sed.registry import chosen

CONVOLUTIONS = {
    "plain": "sed.models.convolutions:build_plain",
    "fdy": "sed.models.fdy_convolution:build_fdy",
    "sk": "sed.models.sk_convolution:build_sk",
}
OPTIONS = {
    "cnn_conv": {
        "default": "plain",
        "help": "convolution of the CNN's layers after the first: plain, frequency dynamic (F) or selective kernels",
        "choices": CONVOLUTIONS,
    },
}
OPTIONS_FROM = CONVOLUTIONS


@runtime_checkable
class Mixing(Protocol):
    """A convolution that mixes the results of several plain ones."""

    kernels: int
    """how many"""


def build_plain(_config: Mapping[str, Any], inside: int, out: int) -> nn.Module:
    """Build a 3 x 3 convolution that keeps frames and bands."""
    return nn.Conv2d(inside, out, kernel_size=3, padding=1)


def build_convolution(config: Mapping[str, Any], inside: int, out: int) -> nn.Module:
    """Build the convolution that a flat config names.

    Args:
        config: A flat config, whose other keys are left alone.
        inside: Channels of its input.
        out: Channels of its output.

    Raises:
        ValueError: There is no convolution of that name.
    """
    convolution: nn.Module = chosen(CONVOLUTIONS, config["cnn_conv"], "cnn_conv")(config, inside, out)
    return convolution
