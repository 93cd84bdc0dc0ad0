"""CNN of FB-CRNN and Bi-CRNN (Ebbers and Haeb-Umbach 2021) as an encoder, with frames of 20 ms and no pooling in time.

A stack of 2-D convolutions over time and frequency is followed by one of 1-D convolutions over time. Batch norm and
ReLU precede each convolution except the very first, and follow the last. Max pooling halves the bands four times.
Letters such as (E) name sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.encoders import Encoder

EPS, MOMENTUM = 1e-3, 0.05  # of all batch norms (E)

OPTIONS = {
    "fbcrnn_cnn": {
        "default": "shallow",
        "help": "CNN of FB-CRNN: shallow, of 9 2-D and 5 1-D convolutions, or deep, of 18 and 8 with residual "
        "connections",
        "choices": ["shallow", "deep"],
    },
    "fbcrnn_width": {
        "default": 1.0,
        "help": "factor of the channels of FB-CRNN's CNN, 16 to 256 at 1 (published: 1 for shallow, 2 for deep); its "
        "last 2-D layer has at most 512",
        "least": 0,
    },
}


@dataclass(frozen=True)
class Layout:
    """Layers of a stack: number of channels and kernel size of each.

    `pooled` has the indices of layers followed by pooling; `residuals` those of layers whose input is added to the
    output of the next layer, a residual connection over two layers.
    """

    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    pooled: frozenset[int] = frozenset()
    residuals: frozenset[int] = frozenset()


LAYOUTS = {  # {fbcrnn_cnn: (2-D stack, 1-D stack)} (E)
    "shallow": (
        Layout((16, 16, 32, 32, 64, 64, 128, 128, 256), (3,) * 9, frozenset({1, 3, 5, 7})),
        Layout((256,) * 5, (1, 3, 3, 3, 1)),
    ),
    "deep": (
        Layout(
            (*(16,) * 4, *(32,) * 4, *(64,) * 4, *(128,) * 4, 256, 256),
            (3, 1) * 9,
            frozenset({3, 7, 11, 15}),
            frozenset(range(2, 16, 2)),
        ),
        Layout((256,) * 8, (1, 3, 1, 3, 1, 3, 1, 1), residuals=frozenset({1, 3, 5})),
    ),
}
MOST = 512  # most channels of the last 2-D layer (E): those of the deep CNN at its published width of 2


class Stack(nn.Module):
    """Stack of 1-D or 2-D convolutions (`dims`), each after its activation, on (batch, channels, [bands,] frames)."""

    def __init__(self, dims: int, channels_in: int, channels: Sequence[int], layout: Layout) -> None:
        super().__init__()
        convolution, norm = (nn.Conv1d, nn.BatchNorm1d) if dims == 1 else (nn.Conv2d, nn.BatchNorm2d)
        widths = [channels_in, *channels]
        self.layout = layout
        self.convolutions = nn.ModuleList(
            convolution(widths[i], widths[i + 1], kernel, padding=kernel // 2)
            for i, kernel in enumerate(layout.kernels)
        )
        # norms[i] normalises the output of layer i, after pooling and residual.
        self.norms = nn.ModuleList(norm(width, eps=EPS, momentum=MOMENTUM) for width in channels)
        self.skips = nn.ModuleDict(
            {
                str(i): convolution(widths[i], widths[i + 2], 1)
                for i in sorted(layout.residuals)
                if widths[i] != widths[i + 2]
            }
        )
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for module in self.skips.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        carried: dict[int, Tensor] = {}
        for i, convolution in enumerate(self.convolutions):
            if i in self.layout.residuals:
                carried[i + 1] = self.skips[str(i)](x) if str(i) in self.skips else x
            x = convolution(torch.relu(self.norms[i - 1](x)) if i else x)
            if i in carried:
                x = x + carried.pop(i)
            if i in self.layout.pooled and x.shape[2] > 1:
                x = nn.functional.max_pool2d(x, (2, 1))
        return torch.relu(self.norms[-1](x))


class FBCNN(nn.Module):
    """CNN of FB-CRNN, from (batch, frames, mel bins) to (batch, 1, frames, 256 * width)."""

    fresh_norm = False
    time_stride = 1

    def __init__(
        self, *, mel_bins: int = 128, input_frames: int = 500, layout: str = "shallow", width: float = 1.0
    ) -> None:
        super().__init__()
        planar, linear = LAYOUTS[layout]  # 2-D convolutions, and 1-D ones ("linear" as opposed to planar)
        channels = [[max(1, round(width * count)) for count in stack.channels] for stack in (planar, linear)]
        channels[0][-1] = min(channels[0][-1], MOST)
        bands = mel_bins
        for _ in planar.pooled:
            bands = max(1, bands // 2)
        self.planar = Stack(2, 1, channels[0], planar)
        self.linear = Stack(1, channels[0][-1] * bands, channels[1], linear)
        self.dim = channels[1][-1]
        self.grid = (1, input_frames)

    def forward(self, x: Tensor) -> Tensor:
        x = self.planar(x.transpose(1, 2).unsqueeze(1))
        return self.linear(x.flatten(1, 2)).transpose(1, 2).unsqueeze(1)


def build_fbcrnn(config: Mapping[str, Any]) -> Encoder:
    """Build the CNN of a flat config."""
    return FBCNN(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        layout=config["fbcrnn_cnn"],
        width=config["fbcrnn_width"],
    )
