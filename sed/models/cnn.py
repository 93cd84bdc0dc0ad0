"""CNN as an encoder: layers of convolution, batch norm, gate, dropout and average pooling.

Options select the CNN of the DCASE task 4 baseline's CRNN, of FDY-CRNN, of SK-CRNN or of the Conformer system. The
default pools reduce 128 mel bins to one band, and the frames to a quarter. Letters such as (D) name sources: see
sed/models/__init__.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sed.models.convolutions import build_convolution, build_plain
from sed.models.encoders import Encoder
from sed.models.gates import build_gate

OPTIONS = {
    "cnn_filters": {
        "default": [16, 32, 64, 128, 128, 128, 128],
        "help": "numbers of filters of the CNN's layers (D)",
        "type": "numbers",
    },
    "cnn_pools": {
        "default": ["2x2", "2x2", "1x2", "1x2", "1x2", "1x2", "1x2"],
        "help": "average pooling of each layer, frames x bands (D)",
        "type": "words",
    },
    "cnn_width": {"default": 1.0, "help": "factor of the numbers of filters", "least": 0, "formerly": "crnn_width"},
    "cnn_dropout": {
        "default": 0.5,
        "help": "dropout of the CNN's layers (D)",
        "least": 0,
        "most": 1,
        "formerly": "crnn_dropout",
    },
}
OPTIONS_FROM = ["sed.models.gates", "sed.models.convolutions"]
_POOL = re.compile(r"([1-9]\d*)x([1-9]\d*)")


class CNN(nn.Module):
    """CNN, from (batch, frames, mel bins) to (batch, 1, frames // time_stride, dim).

    The bands that are left are joined: `dim` is the last layer's filters times its bands.
    """

    fresh_norm = False

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        mel_bins: int,
        input_frames: int,
        filters: Sequence[int],
        pools: Sequence[tuple[int, int]],
    ) -> None:
        """
        Args:
            config: a flat config with the options of gate, dropout and convolutions.
            mel_bins: mel bins of the input.
            input_frames: frames of the input.
            filters: number of filters of each layer.
            pools: pooling of each layer, in frames and bands.

        Raises:
            ValueError: no frames are left after pooling, or the numbers of pools and filters differ.
        """
        super().__init__()
        if len(filters) != len(pools):
            raise ValueError(f"{len(filters)} cnn_filters and {len(pools)} cnn_pools: give one of each per layer")
        time, bands, channels_in = input_frames, mel_bins, 1
        layers: list[nn.Module] = []
        for count, pool in zip(filters, pools, strict=True):
            pool = (pool[0], min(pool[1], bands))  # with fewer mel bins, one band is reached at an earlier layer
            layers += [
                # the first layer is plain, as in FDY-SED (F)
                build_convolution(config, channels_in, count) if layers else build_plain(config, channels_in, count),
                nn.BatchNorm2d(count, eps=0.001, momentum=0.99),  # (D); in torch, 0.99 is the new batch's share
                build_gate(config, count),
                nn.Dropout(config["cnn_dropout"]),
                nn.AvgPool2d(pool),
            ]
            time, bands, channels_in = time // pool[0], bands // pool[1], count
        self.time_stride = math.prod(pool[0] for pool in pools)
        if time < 1:
            raise ValueError(
                f"input_frames {input_frames}: cnn_pools leave no frames (give at least {self.time_stride})"
            )
        self.layers = nn.Sequential(*layers)
        self.dim = channels_in * bands
        self.grid = (1, time)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x.unsqueeze(1))
        return x.permute(0, 2, 1, 3).flatten(2).unsqueeze(1)


def build_cnn(config: Mapping[str, Any]) -> Encoder:
    """Build the CNN of a flat config.

    Raises:
        ValueError: its values are inconsistent.
    """
    return CNN(
        config,
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        filters=[max(1, round(config["cnn_width"] * count)) for count in config["cnn_filters"]],
        pools=[_pool(text) for text in config["cnn_pools"]],
    )


def _pool(text: str) -> tuple[int, int]:
    found = _POOL.fullmatch(text)
    if not found:
        raise ValueError(f"cnn_pools {text}: frames x bands are expected, such as 2x2")
    return int(found[1]), int(found[2])
