"""What pre-training trains: a tagger, and a second head for frame labels."""

from __future__ import annotations

from torch import Tensor, nn

from sed.models.tagger import GridTagger, Tagger


class Pretrainer(nn.Module):
    """A tagger with a second head that labels each time step from the mean of its bands; that one is thrown away."""

    def __init__(self, tagger: Tagger | GridTagger, classes: int, *, detail: int = 1) -> None:
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

        `bands` (kept,) int64: only those of an AST are seen.
        """
        tags, steps = self.tagger.described(x, bands)
        labelled = self.frame_head(self.frame_norm(steps)).unflatten(2, (self.detail, -1)).flatten(1, 2)[:, :frames]
        return tags.float(), labelled.float()
