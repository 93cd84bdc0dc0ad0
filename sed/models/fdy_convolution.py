"""Frequency dynamic convolution (Nam et al. 2022): a mixture of a few kernels that varies over frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.clip_norm import ClipNorm

OPTIONS = {
    "fdy_kernels": {"default": 4, "help": "basis kernels of a frequency dynamic convolution (F)", "least": 1},
    "fdy_temperature": {
        "default": 31.0,
        "help": "temperature of the softmax of the basis kernels' weights: higher is more even (F)",
        "least": 1e-3,
    },
}


class FrequencyDynamicConvolution(nn.Module):
    """Weighted sum of `kernels` 3 x 3 convolutions without biases.

    The weights depend on clip and band, and are the same for all frames: they are computed from the mean over time by
    two convolutions along frequency, and a softmax over the kernels with a temperature.
    """

    def __init__(self, channels_in: int, out: int, *, kernels: int, temperature: float) -> None:
        super().__init__()
        hidden = max(4, channels_in // 4)  # (F)
        self.kernels, self.temperature = kernels, temperature
        self.weight = nn.Parameter(torch.empty(kernels, out, channels_in, 3, 3))
        along, mix = nn.Conv1d(channels_in, hidden, kernel_size=3, padding=1, bias=False), nn.Conv1d(hidden, kernels, 1)
        self.attention = nn.Sequential(along, ClipNorm(hidden), nn.ReLU(), mix)
        for kernel in self.weight.data:  # one by one: of the whole tensor, torch would compute another fan-in
            nn.init.kaiming_normal_(kernel)
        for layer in (along, mix):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if mix.bias is not None:
            nn.init.zeros_(mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels in, frames, bands) to (batch, channels out, frames, bands)."""
        outputs = nn.functional.conv2d(x, self.weight.flatten(0, 1), padding=1).unflatten(1, (self.kernels, -1))
        # In the convolutions' precision: float32 weights would make the result float32 under autocast.
        shares = self.shares(x).to(outputs.dtype)[:, :, None, None, :].unbind(1)
        # Summed one by one: all weighted outputs together would need as much memory as the outputs.
        first, *others = (share * output for share, output in zip(shares, outputs.unbind(1), strict=True))
        return sum(others, start=first)

    def shares(self, x: Tensor) -> Tensor:
        """Map (batch, channels in, frames, bands) to the weights of the kernels (batch, kernels, bands), sum 1."""
        logits: Tensor = self.attention(x.mean(2))
        return (logits / self.temperature).softmax(1)


def build_fdy(config: Mapping[str, Any], channels_in: int, out: int) -> nn.Module:
    """Build the frequency dynamic convolution of a flat config.

    Args:
        config: a flat config, whose other keys are ignored.
        channels_in: channels of its input.
        out: channels of its output.

    Returns:
        The convolution.
    """
    return FrequencyDynamicConvolution(
        channels_in, out, kernels=config["fdy_kernels"], temperature=config["fdy_temperature"]
    )
