"""The CNN of the DCASE 2022 task 4 mean-teacher baseline, as an encoder.

Seven layers of 3 x 3 convolution, batch norm, context gating, dropout and average pooling; frequency ends at one
band. With `upsample: 1`, two Bi-GRU layers of 128, `clip_pooling: attention` and dropout 0.5 it is that CRNN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.encoders import Encoder

FILTERS = (16, 32, 64, 128, 128, 128, 128)
POOLS = ((2, 2), (2, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2))  # (time, frequency)


OPTIONS = {
    "crnn_width": {
        "default": 1.0,
        "help": "filters of the CNN, in the baseline's (16 32 64 128 128 128 128)",
        "least": 0,
    },
    "crnn_dropout": {"default": 0.5, "help": "dropout of the CNN's layers", "least": 0, "most": 1},
}


class ContextGating(nn.Module):
    """x * sigmoid(linear(x)), over channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x * torch.sigmoid(gate)


class CRNN(nn.Module):
    """(batch, frames, mel bins) -> (batch, 1, frames / 4, 128)."""

    fresh_norm = False

    def __init__(
        self, *, mel_bins: int = 128, input_frames: int = 626, width: float = 1.0, dropout: float = 0.5
    ) -> None:
        super().__init__()
        filters = [max(1, round(width * count)) for count in FILTERS]
        time, bands = input_frames, mel_bins
        layers: list[nn.Module] = []
        for i, (count, pool) in enumerate(zip(filters, POOLS, strict=True)):
            pool = (pool[0], min(pool[1], bands))  # fewer mel bins end at one band earlier
            layers += [
                nn.Conv2d(filters[i - 1] if i else 1, count, kernel_size=3, padding=1),
                nn.BatchNorm2d(count, eps=0.001, momentum=0.99),
                ContextGating(count),
                nn.Dropout(dropout),
                nn.AvgPool2d(pool),
            ]
            time, bands = time // pool[0], bands // pool[1]
        if time < 1:
            raise ValueError(f"the CNN has no frames left of {input_frames}: give at least 4")
        self.layers = nn.Sequential(*layers)
        self.dim = filters[-1] * bands
        self.grid = (1, time)
        self.time_stride = 4

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x.unsqueeze(1))
        return x.permute(0, 2, 1, 3).flatten(2).unsqueeze(1)


def build_crnn(config: Mapping[str, Any]) -> Encoder:
    """Build the CNN of a flat config."""
    return CRNN(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        width=config["crnn_width"],
        dropout=config["crnn_dropout"],
    )
