"""Model of pre-training: a tagger with a second head for frame labels."""

from __future__ import annotations

from torch import Tensor, nn

from sed.models.tagger import GridTagger, Tagger


class Pretrainer(nn.Module):
    """Tagger with a second head, which labels each time step of the encoder from the mean over its frequency bands.

    The second head returns `detail` label frames per time step; it is not part of the checkpoint that pre-training
    writes.
    """

    def __init__(self, tagger: Tagger | GridTagger, classes: int, *, detail: int = 1) -> None:
        super().__init__()
        self.tagger, self.detail = tagger, detail
        self.frame_norm = nn.LayerNorm(tagger.encoder.dim)
        self.frame_head = nn.Linear(tagger.encoder.dim, detail * classes)

    @property
    def bands(self) -> int:
        """Number of frequency bands of patches."""
        return self.tagger.encoder.grid[0]

    def forward(self, x: Tensor, frames: int, bands: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute tag and frame logits.

        Args:
            x: normalised features (batch, input frames, bins).
            frames: label frames to return, at most time steps times `detail`; the rest, beyond the clip, is cut off.
            bands: indices (kept,) int64 of the bands of patches to encode, for a `Tagger` (an AST's) only; None: all.

        Returns:
            Tag logits (batch, classes) and frame logits (batch, frames, classes), float32.
        """
        tags, steps = self.tagger.logits_and_steps(x, bands)
        labelled = self.frame_head(self.frame_norm(steps)).unflatten(2, (self.detail, -1)).flatten(1, 2)[:, :frames]
        return tags.float(), labelled.float()
