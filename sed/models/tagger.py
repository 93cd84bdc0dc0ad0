"""Audio tagging with a whole AST: what the published checkpoint does, and what a small one is pre-trained as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sed.errors import UserError
from sed.models.ast import AST, NORM_EPS, build_ast, init_weights


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


def build_tagger(config: Mapping[str, Any], classes: int) -> Tagger:
    """Build the whole AST of a flat config, all `ast_depth` blocks, with a tagging head.

    Raises:
        UserError: the config's values make no AST.
    """
    try:
        return Tagger(encoder=build_ast(config, whole=True), classes=classes)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None
