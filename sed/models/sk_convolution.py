"""Selective kernels (Li et al. 2019): two convolutions of different size, mixed by attention per channel.

Letters such as (I) name sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.clip_norm import ClipNorm

OPTIONS = {
    "sk_reduction": {
        "default": 4,
        "help": "channels of a selective-kernel convolution divided by the size of its descriptor (I)",
        "least": 1,
    },
    "sk_least": {
        "default": 32,
        "help": "minimum size of the descriptor of a selective-kernel convolution (I: as in Li et al. 2019)",
        "least": 1,
    },
}
DILATIONS = (1, 2)
"""dilations of the branches: the second has the receptive field of a 5 x 5 kernel"""


class SelectiveKernelConvolution(nn.Module):
    """Convolution sum_i a_i * U_i with U_i = ReLU(norm(conv_i(x))); the weights a_i depend on channel and clip.

    The branches i differ in dilation. The weights are a softmax over the branches of linear maps of a descriptor
    z = ReLU(norm(W s)), where s is the mean of sum_i U_i over time and frequency.
    """

    def __init__(self, channels_in: int, out: int, *, reduction: int, least: int) -> None:
        super().__init__()
        size = max(out // reduction, least)
        self.kernels = len(DILATIONS)  # as `convolutions.Mixing` requires
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels_in, out, kernel_size=3, padding=dilation, dilation=dilation, bias=False),
                nn.BatchNorm2d(out, eps=0.001, momentum=0.99),  # as in `sed.models.cnn`
                nn.ReLU(),
            )
            for dilation in DILATIONS
        )
        self.descriptor = nn.Linear(out, size, bias=False)
        self.norm = ClipNorm(size, eps=0.001, momentum=0.99)
        self.choices = nn.ModuleList(nn.Linear(size, out, bias=False) for _ in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels in, frames, bands) to (batch, channels out, frames, bands)."""
        outputs = [branch(x) for branch in self.branches]
        z = self.norm(self.descriptor(sum(outputs[1:], start=outputs[0]).mean((2, 3)))).relu()
        shares = torch.stack([choice(z) for choice in self.choices]).softmax(0)[..., None, None].to(outputs[0].dtype)
        first, *others = (share * output for share, output in zip(shares.unbind(0), outputs, strict=True))
        return sum(others, start=first)


def build_sk(config: Mapping[str, Any], channels_in: int, out: int) -> nn.Module:
    """Build the selective-kernel convolution of a flat config.

    Args:
        config: a flat config, whose other keys are ignored.
        channels_in: channels of its input.
        out: channels of its output.

    Returns:
        The convolution.
    """
    return SelectiveKernelConvolution(channels_in, out, reduction=config["sk_reduction"], least=config["sk_least"])
