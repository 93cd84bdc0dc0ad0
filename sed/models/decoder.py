"""Time decoder: frames at the encoder's rate to frames at the output's rate (P: LGD; upsample 1: AST-GRU's)."""

from __future__ import annotations

from torch import Tensor, nn

OPTIONS = {
    "upsample": {
        "default": 10,
        "help": "output frames for each of the encoder's (1: the encoder's own rate)",
        "least": 1,
    },
    "gru_units": {"default": 768, "help": "units of the Bi-GRU per direction", "least": 1},
    "gru_layers": {"default": 2, "help": "layers of the Bi-GRU", "least": 1},
    "gru_dropout": {"default": 0.0, "help": "dropout between the Bi-GRU's layers", "least": 0, "most": 1},
    "head_dropout": {"default": 0.0, "help": "dropout after the Bi-GRU", "least": 0, "most": 1},
}


class GruDecoder(nn.Module):
    """Crop to the clip, repeat each frame `upsample` times (nearest interpolation), Bi-GRU.

    Nearest keeps the clock: encoder frame i becomes output frames i * upsample to (i + 1) * upsample - 1.
    """

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

    def align(self, x: Tensor) -> Tensor:
        """(batch, patches, dim) -> (batch, frames * upsample, dim): cropped and repeated."""
        x = x[:, : self.frames]
        return x.repeat_interleave(self.upsample, dim=1) if self.upsample > 1 else x

    def forward(self, x: Tensor) -> Tensor:
        """(batch, patches, dim) -> (batch, frames * upsample, 2 * units)."""
        return self.dropout(self.recur(x))

    def recur(self, x: Tensor) -> Tensor:
        """Align, then the Bi-GRU; training on a GPU puts a faster equal here."""
        return self.gru(self.align(x))[0]
