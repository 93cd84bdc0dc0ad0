"""What pre-training trains: a tagger, and a second head for frame labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sed.models.ast import LEADING
from sed.models.tagger import Tagger


class Pretrainer(nn.Module):
    """A tagger with a second head that labels each time step from the mean of its bands; that one is thrown away."""

    def __init__(self, tagger: Tagger, classes: int, *, detail: int = 1) -> None:
        super().__init__()
        self.tagger, self.detail = tagger, detail
        self.frame_norm = nn.LayerNorm(tagger.encoder.dim)
        self.frame_head = nn.Linear(tagger.encoder.dim, detail * classes)

    @property
    def bands(self) -> int:
        """Bands of patches."""
        return self.tagger.encoder.grid[0]

    def forward(self, x: Tensor, frames: int, bands: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, input frames, bins) -> tag logits (batch, classes), frame logits (batch, frames, classes).

        `bands` (kept,) int64: only their patches are seen (Koutini et al. 2022, structured patchout).
        """
        encoder = self.tagger.encoder
        tokens = encoder.embed(x)
        grid = encoder.grid
        if bands is not None:
            patches = tokens[:, LEADING:].unflatten(1, grid).index_select(1, bands)
            tokens, grid = torch.cat([tokens[:, :LEADING], patches.flatten(1, 2)], 1), (len(bands), grid[1])
        tokens = encoder.transform(tokens)
        steps = self.frame_norm(tokens[:, LEADING:].unflatten(1, grid).mean(1))
        labelled = self.frame_head(steps).unflatten(2, (self.detail, -1)).flatten(1, 2)[:, :frames]
        return self.tagger.head(tokens).float(), labelled.float()
