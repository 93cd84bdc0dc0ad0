"""Frequency dynamic convolution (Nam et al. 2022): a mixture of a few kernels that varies over frequency.

Letters such as (F) name sources: see egs/desed/README.md.
"""

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
        """Map (batch, channels in, frames, bands) to (batch, channels out, frames, bands).

        On a GPU outputs are summed, on a CPU kernels: each is the faster one there (`sed.bin.benchmark`).
        """
        return self.sum_of_outputs(x) if x.is_cuda else self.sum_of_kernels(x)

    def sum_of_outputs(self, x: Tensor) -> Tensor:
        """Compute `forward` as the weighted sum of the outputs of all kernels, with channels last in memory."""
        batch, _, frames, bands = x.shape
        weight = self.weight.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
        y = nn.functional.conv2d(x, weight, padding=1).permute(0, 2, 3, 1)
        y = y.view(batch, frames, bands, self.kernels, -1)
        shares = self.shares(x).to(y.dtype).transpose(1, 2)  # (batch, bands, kernels)
        return (y * shares[:, None, :, :, None]).sum(3).permute(0, 3, 1, 2)

    def sum_of_kernels(self, x: Tensor) -> Tensor:
        """Compute `forward` as the convolution with the weighted sum of the kernels, which is equal.

        The kernels are summed for each clip and band, and one matrix product applies them to all frames: 1 / `kernels`
        of the operations of as many convolutions.
        """
        batch, _, frames, bands = x.shape
        shares = self.shares(x).transpose(1, 2).flatten(0, 1)  # (batch * bands, kernels)
        kernels = shares @ self.weight.permute(0, 3, 4, 2, 1).flatten(1)  # one for each clip and band
        windows = self.windows(x).flatten(0, 1)  # (batch * bands, frames, 9 * channels in)
        y = torch.bmm(windows, kernels.view(batch * bands, windows.shape[2], -1))
        return y.view(batch, bands, frames, -1).permute(0, 3, 2, 1)

    @staticmethod
    def windows(x: Tensor) -> Tensor:
        """Map (batch, channels, frames, bands) to all points' 3 x 3 windows, (batch, bands, frames, 9 * channels).

        Neighbours are ordered by frame, then band, then channel; beyond the borders they are 0. Slices are joined
        because torch.compile makes the gradient of `unfold` a slow scatter.
        """
        _, _, frames, bands = x.shape
        x = nn.functional.pad(x.permute(0, 3, 2, 1), (0, 0, 1, 1, 1, 1))
        x = torch.cat([x[:, band : band + bands] for band in range(3)], -1)
        return torch.cat([x[:, :, frame : frame + frames] for frame in range(3)], -1)

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
