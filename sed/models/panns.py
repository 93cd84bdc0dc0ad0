"""Cnn14 of the PANNs (Kong et al. 2020) as an encoder: that of PANN-RNN, which the AST-SED paper compares with.

A batch norm of each mel bin is followed by six blocks of two 3 x 3 convolutions with batch norm and ReLU; all blocks
but the last end with average pooling by two in time and frequency. A time step of the output is 320 ms at the published
front end (conf/logmel_panns.yaml). Parameters have the names of the published checkpoint, so that its state dict can be
loaded unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.models.encoders import Encoder

BLOCKS = 6
TIME_STRIDE = 2 ** (BLOCKS - 1)  # the last block does not pool
CHANNELS = 64
FRONT_END = {
    "front_end": "stft",
    "sample_rate": 16000,
    "frame_length": 0.032,
    "frame_shift": 0.01,
    "window": "hann",
    "window_ends": "periodic",
    "fft_size": 512,
    "centring": "reflect",
    "mel_bins": 64,
    "f_min": 50.0,
    "f_max": 8000.0,
    "mel_scale": "slaney",
    "mel_norm": "area",
    "power": 2,
    "log": "db",
    "normaliser": "none",
}
"""front end of the published weights (conf/logmel_panns.yaml)"""

OPTIONS = {
    "panns_channels": {
        "default": CHANNELS,
        "help": "channels of Cnn14's first block, doubled by each further block",
        "least": 1,
    },
    "panns_dropout": {"default": 0.2, "help": "dropout after each block of Cnn14", "least": 0, "most": 1},
}


class ConvBlock(nn.Module):
    """Two convolutions, from (batch, channels in, frames, bins) to (batch, channels, frames / pool, bins / pool)."""

    def __init__(self, channels_in: int, channels: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.pool = pool
        for convolution in (self.conv1, self.conv2):
            nn.init.xavier_uniform_(convolution.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x


class Cnn14(nn.Module):
    """Cnn14, from (batch, frames, mel bins) to (batch, mel bins / 32, frames / 32, 32 * channels).

    The published size has two bands and a width of 2048.
    """

    fresh_norm = False

    def __init__(self, *, mel_bins: int = 64, input_frames: int = 1001, channels: int = CHANNELS, dropout: float = 0.2):
        super().__init__()
        if min(mel_bins, input_frames) < TIME_STRIDE:
            raise ValueError(
                f"Cnn14 has nothing left of {mel_bins} mel bins x {input_frames} frames: give at least {TIME_STRIDE}"
            )
        self.front_end = FRONT_END if channels == CHANNELS else {}  # other sizes have no published weights
        self.bn0 = nn.BatchNorm2d(mel_bins)
        widths = [1, *(channels * 2**i for i in range(BLOCKS))]
        for i in range(BLOCKS):
            self.add_module(f"conv_block{i + 1}", ConvBlock(widths[i], widths[i + 1], 2 if i < BLOCKS - 1 else 1))
        self.dropout = nn.Dropout(dropout)
        self.dim = widths[-1]
        self.grid = (mel_bins // TIME_STRIDE, input_frames // TIME_STRIDE)
        self.time_stride = TIME_STRIDE

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn0(x.unsqueeze(1).transpose(1, 3)).transpose(1, 3)
        for i in range(BLOCKS):
            x = self.dropout(self.get_submodule(f"conv_block{i + 1}")(x))
        return x.permute(0, 3, 2, 1)


def build_panns(config: Mapping[str, Any]) -> Encoder:
    """Build the Cnn14 of a flat config."""
    return Cnn14(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        channels=config["panns_channels"],
        dropout=config["panns_dropout"],
    )
