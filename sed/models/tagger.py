"""Audio tagging with a whole AST: what the published checkpoint does, and what a small one is pre-trained as."""

from __future__ import annotations

from torch import Tensor, nn

from sed.models.ast import AST, NORM_EPS, init_weights


class TaggingHead(nn.Module):
    """Final norm, mean of the two leading tokens, LayerNorm and a linear map (the AST release)."""

    def __init__(self, *, dim: int, classes: int, norm_eps: float = NORM_EPS) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))
        init_weights(self, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, 2 + patches, dim) -> logits (batch, classes)."""
        leading = self.norm(tokens[:, :2])
        return self.mlp_head(leading.mean(1))


class Tagger(nn.Module):
    """(batch, frames, mel bins) normalised features -> tagging logits (batch, classes)."""

    def __init__(self, *, encoder: AST, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = TaggingHead(dim=encoder.dim, classes=classes, norm_eps=encoder.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder.tokens(x))
