"""Bi-GRU time decoder (P: LGD; upsample 1: AST-GRU's)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sed.models.decoders import Decoded, Decoder, RunGru, repeated

OPTIONS = {
    "gru_units": {"default": 768, "help": "units of the Bi-GRU per direction", "least": 1},
    "gru_layers": {"default": 2, "help": "layers of the Bi-GRU", "least": 1},
    "gru_dropout": {"default": 0.0, "help": "dropout between the Bi-GRU's layers", "least": 0, "most": 1},
    "head_dropout": {"default": 0.0, "help": "dropout after the Bi-GRU", "least": 0, "most": 1},
}


class GruDecoder(nn.Module):
    """Crop to the clip, repeat each frame `upsample` times (nearest interpolation), Bi-GRU.

    Nearest keeps the clock: encoder frame i becomes output frames i * upsample to (i + 1) * upsample - 1.
    """

    run_gru: RunGru

    def __init__(
        self, *, dim: int, frames: int, upsample: int, units: int, layers: int, gru_dropout: float, dropout: float
    ) -> None:
        super().__init__()
        self.frames = frames
        self.upsample = upsample
        self.dim = 2 * units
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

    def forward(self, x: Tensor) -> Decoded:
        """(batch, patches, dim) -> hidden (batch, frames * upsample, 2 * units)."""
        return Decoded(self.dropout(self.run_gru(self.gru, x[:, : self.frames], self.upsample)))


def run_gru(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
    """Run a GRU by torch over repeated frames: see `RunGru`."""
    hidden: Tensor = gru(repeated(x, repeat))[0]
    return hidden


def build_gru(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build the Bi-GRU decoder of a flat config, for an encoder of width `dim` and `frames` frames a clip."""
    return GruDecoder(
        dim=dim,
        frames=frames,
        upsample=config["upsample"],
        units=config["gru_units"],
        layers=config["gru_layers"],
        gru_dropout=config["gru_dropout"],
        dropout=config["head_dropout"],
    )
