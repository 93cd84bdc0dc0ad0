"""Recurrent layers of FB-CRNN (Ebbers and Haeb-Umbach 2021): a forward and a backward GRU without shared layers.

The forward output at frame t predicts whether a class has begun by t, the backward output whether it occurs from t on;
both are true in the frames between the first onset and the last offset. For detection, both are run over a short window
around every frame instead of the whole clip, forward up to the window's end and backward to its start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sed.models.decoders import Decoded, RunGru, repeated
from sed.models.gru_decoder import HiddenLayer, run_gru

LOW = 1e-5
"""posteriors are scaled to [LOW, 1 - LOW], as in pb_sed, the authors' code (source E in egs/desed/README.md)"""


class ApartDecoder(nn.Module):
    """`Directed` decoder: it crops to the clip, repeats each frame `upsample` times and runs a GRU per direction.

    `window` is the length of the detection window, in output frames; 0 or 1: no window. `hidden` is the number of
    units of a layer after each GRU; 0: no such layer.
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
        hidden: int,
        window: int,
    ) -> None:
        super().__init__()
        self.frames, self.upsample, self.window = frames, upsample, window
        self.dim = 2 * (hidden or units)
        self.dropout = nn.Dropout(dropout)
        inner = gru_dropout if layers > 1 else 0.0
        self.ahead, self.back = (
            nn.GRU(dim, units, num_layers=layers, batch_first=True, dropout=inner) for _ in range(2)
        )
        self.hidden_ahead, self.hidden_back = (
            HiddenLayer(units, hidden) if hidden else nn.Identity() for _ in range(2)
        )
        self.run_gru = run_gru

    def forward(self, x: Tensor) -> Decoded:
        """Map (batch, patches, input dim) to hidden (batch, frames * upsample, dim), forward direction first."""
        x = repeated(x[:, : self.frames], self.upsample)
        back = self.run_gru(self.back, x.flip(1), 1).flip(1)  # 1: not repeated once more (`RunGru`)
        return Decoded(self._hidden(self.run_gru(self.ahead, x, 1), back))

    def near(self, x: Tensor) -> Tensor | None:
        """Run both GRUs over a window around each output frame, with zeros beyond the clip.

        Args:
            x: (batch, patches, input dim).

        Returns:
            States (batch, frames * upsample, dim): of the forward direction at the window's end, then of the backward
            one at its start; None without a window or in training.
        """
        if self.training or self.window < 2:
            return None
        x = repeated(x[:, : self.frames], self.upsample)
        batch, frames, dim = x.shape
        before = self.window // 2
        x = nn.functional.pad(x, (0, 0, before, self.window - 1 - before))
        index = torch.arange(frames, device=x.device)[:, None] + torch.arange(self.window, device=x.device)
        windows = x[:, index.flatten()].reshape(batch * frames, self.window, dim)
        ahead = self.run_gru(self.ahead, windows, 1)[:, -1]
        back = self.run_gru(self.back, windows.flip(1), 1)[:, -1]
        return self._hidden(ahead.reshape(batch, frames, -1), back.reshape(batch, frames, -1))

    def _hidden(self, ahead: Tensor, back: Tensor) -> Tensor:
        return torch.cat([self.hidden_ahead(self.dropout(ahead)), self.hidden_back(self.dropout(back))], 2)


class DirectionClassifier(nn.Module):
    """Classifiers of both directions, from (batch, frames, dim) to logits (2, batch, frames, classes), forward first.

    The first half of `dim` is of the forward direction. The first dimension of all parameters is the class, as
    `Detector.OF_CLASSES` requires.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.ahead, self.back = (nn.Linear(dim // 2, classes) for _ in range(2))
        for linear in (self.ahead, self.back):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        ahead, back = hidden.chunk(2, -1)
        posteriors = LOW + (1 - 2 * LOW) * torch.stack([self.ahead(ahead), self.back(back)]).sigmoid()
        return posteriors.logit()
