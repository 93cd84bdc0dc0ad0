"""Bi-GRU time decoder: the AST-SED paper's local GRU decoder (LGD), or with `upsample` 1 that of AST-GRU (P).

`sed.models.decoders` declares the option `upsample`. Letters such as (P) name sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sed.models.decoders import Decoded, Decoder, RunGru, repeated
from sed.registry import chosen

DIRECTIONS = {
    "both": "sed.models.gru_decoder:GruDecoder",
    "apart": "sed.models.apart_decoder:ApartDecoder",
}
OPTIONS = {
    "gru_units": {"default": 768, "help": "units of the Bi-GRU per direction (P, L)", "least": 1},
    "gru_layers": {"default": 2, "help": "layers of the Bi-GRU (P, L)", "least": 1},
    "gru_dropout": {"default": 0.0, "help": "dropout between the Bi-GRU's layers (P, L)", "least": 0, "most": 1},
    "head_dropout": {"default": 0.0, "help": "dropout after the Bi-GRU", "least": 0, "most": 1},
    "head_hidden": {
        "default": 0,
        "help": "units of a further layer, with batch norm and ReLU, between GRU and classifier; 0: no such layer",
        "least": 0,
    },
    "gru_directions": {
        "default": "both",
        "help": "both: a Bi-GRU; apart: separate forward and backward GRUs (FB-CRNN)",
        "choices": DIRECTIONS,
    },
    "detection_frames": {
        "default": 25,
        "help": "length of FB-CRNN's detection window in output frames (I); 0 or 1: no window, so that each class is "
        "one event in a clip, from its first onset to its last offset",
        "least": 0,
    },
}


class GruDecoder(nn.Module):
    """Decoder that crops to the clip, repeats each frame `upsample` times and runs a Bi-GRU.

    Repetition is nearest interpolation, which keeps frames aligned; `Decoder` says how. `dropout` follows the Bi-GRU,
    `gru_dropout` is between its layers. `hidden` is the number of units of a `HiddenLayer` at the end; 0: none.
    """

    run_gru: RunGru

    def __init__(
        self,
        *,
        dim: int,
        frames: int,
        upsample: int,
        units: int,
        layers: int,
        gru_dropout: float,
        dropout: float,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.frames = frames
        self.upsample = upsample
        self.dim = hidden or 2 * units
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(
            dim,
            units,
            num_layers=layers,
            batch_first=True,
            bidirectional=True,
            dropout=gru_dropout if layers > 1 else 0.0,
        )
        self.run_gru = run_gru
        self.hidden = HiddenLayer(2 * units, hidden) if hidden else nn.Identity()

    def forward(self, x: Tensor) -> Decoded:
        """Map (batch, patches, input dim) to hidden (batch, frames * upsample, dim)."""
        return Decoded(self.hidden(self.dropout(self.run_gru(self.gru, x[:, : self.frames], self.upsample))))


class HiddenLayer(nn.Module):
    """Linear map, batch norm over all frames and ReLU (FB-CRNN): (batch, frames, dim) to (batch, frames, units)."""

    def __init__(self, dim: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, units)
        self.norm = nn.BatchNorm1d(units, eps=1e-3, momentum=0.05)  # (E)
        # as the convolutions of `sed.models.fbcrnn`
        nn.init.kaiming_uniform_(self.linear.weight, nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x).transpose(1, 2)).transpose(1, 2).relu()


def run_gru(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
    """Run a GRU by torch; see `RunGru`.

    Args:
        gru: the layers.
        x: (batch, frames, dim).
        repeat: how many times each frame is repeated.

    Returns:
        (batch, frames * repeat, directions * units).
    """
    hidden: Tensor = gru(repeated(x, repeat))[0]
    return hidden


def build_gru(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build the GRU decoder of a flat config.

    Args:
        config: a flat config, whose other keys are ignored.
        dim: width of the encoder.
        frames: frames of the encoder per clip.

    Returns:
        The decoder.
    """
    sizes = {
        "dim": dim,
        "frames": frames,
        "upsample": config["upsample"],
        "units": config["gru_units"],
        "layers": config["gru_layers"],
        "gru_dropout": config["gru_dropout"],
        "dropout": config["head_dropout"],
        "hidden": config["head_hidden"],
    }
    if config["gru_directions"] == "apart":
        sizes["window"] = config["detection_frames"]
    decoder: Decoder = chosen(DIRECTIONS, config["gru_directions"], "gru_directions")(**sizes)
    return decoder
