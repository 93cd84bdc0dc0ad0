"""Registry of a CNN's convolutions, from (batch, channels in, frames, bands) to (batch, channels out, frames, bands).

A new convolution is a module with `OPTIONS` and a function that builds it from a config and both numbers of channels,
and a line of `CONVOLUTIONS`. Letters such as (F) name sources: see sed/models/__init__.py.
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
    """Protocol of a convolution that is a weighted sum of several plain ones.

    `sed.bin.benchmark --parts convolutions` compares its time with that of one plain convolution of `kernels` times as
    many filters.
    """

    kernels: int
    """number of plain convolutions"""


def build_plain(_config: Mapping[str, Any], channels_in: int, out: int) -> nn.Module:
    """Build a 3 x 3 convolution that keeps the numbers of frames and bands.

    Args:
        _config: unused.
        channels_in: channels of its input.
        out: channels of its output.

    Returns:
        The convolution.
    """
    return nn.Conv2d(channels_in, out, kernel_size=3, padding=1)


def build_convolution(config: Mapping[str, Any], channels_in: int, out: int) -> nn.Module:
    """Build the convolution that a flat config names.

    Args:
        config: a flat config, whose other keys are ignored.
        channels_in: channels of its input.
        out: channels of its output.

    Returns:
        The convolution.

    Raises:
        ValueError: there is no convolution of that name.
    """
    convolution: nn.Module = chosen(CONVOLUTIONS, config["cnn_conv"], "cnn_conv")(config, channels_in, out)
    return convolution
