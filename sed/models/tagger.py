"""Audio tagging with an encoder: the task that the published AST was trained on, and that of our pre-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.models.ast import AST, LEADING, NORM_EPS, build_ast, init_weights
from sed.models.encoders import Encoder, build_encoder


class TaggingHead(nn.Module):
    """Head of the AST release: final norm, mean of the two leading tokens, LayerNorm and a linear map."""

    def __init__(self, *, dim: int, classes: int, norm_eps: float = NORM_EPS) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))
        init_weights(self, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, 2 + patches, dim) to logits (batch, classes)."""
        leading = self.norm(tokens[:, :LEADING])
        return self.mlp_head(leading.mean(1))


class Tagger(nn.Module):
    """Tagger with an AST, from normalised features (batch, frames, mel bins) to logits (batch, classes)."""

    def __init__(self, *, encoder: AST, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = TaggingHead(dim=encoder.dim, classes=classes, norm_eps=encoder.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder.tokens(x))

    def logits_and_steps(self, x: Tensor, bands: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the logits, and the encoder's output of each time step, before the head's final norm.

        Args:
            x: (batch, frames, mel bins).
            bands: indices (kept,) int64 of the bands whose patches are encoded (structured patchout, Koutini et al.
                2022); None: all.

        Returns:
            Logits (batch, classes), and the encoder's output averaged over the bands (batch, patches in time, dim).
        """
        encoder = self.encoder
        tokens, grid = encoder.embed(x), encoder.grid
        if bands is not None:
            patches = tokens[:, LEADING:].unflatten(1, grid).index_select(1, bands)
            tokens, grid = torch.cat([tokens[:, :LEADING], patches.flatten(1, 2)], 1), (len(bands), grid[1])
        tokens = encoder.transform(tokens)
        return self.head(tokens), tokens[:, LEADING:].unflatten(1, grid).mean(1)


class GridHead(nn.Module):
    """Head for the mean over bands of an encoder's grid: a linear map of the sum of mean and maximum over time.

    It pools as PANNs' taggers do, and has no hidden layer between pooling and classes, unlike theirs.
    """

    def __init__(self, *, dim: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, steps: Tensor) -> Tensor:
        """Map (batch, patches in time, dim) to logits (batch, classes)."""
        logits: Tensor = self.linear(steps.mean(1) + steps.amax(1))
        return logits


class GridTagger(nn.Module):
    """Tagger with any encoder, from normalised features (batch, frames, mel bins) to logits (batch, classes)."""

    encoder: Encoder

    def __init__(self, *, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = GridHead(dim=encoder.dim, classes=classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits_and_steps(x)[0]

    def logits_and_steps(self, x: Tensor, bands: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the same as `Tagger.logits_and_steps`; `bands` must be None, as only an AST can leave patches out."""
        assert bands is None
        steps = self.encoder(x).mean(1)
        logits: Tensor = self.head(steps)
        return logits, steps


def build_tagger(config: Mapping[str, Any], classes: int) -> Tagger:
    """Build the whole AST of a flat config, all `ast_depth` blocks, with a tagging head.

    Raises:
        UserError: the config's values are inconsistent.
    """
    try:
        return Tagger(encoder=build_ast(config, whole=True), classes=classes)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None


def build_any_tagger(config: Mapping[str, Any], classes: int) -> Tagger | GridTagger:
    """Build the encoder of a flat config (of an AST, all blocks) with a tagging head.

    Raises:
        UserError: the config's values are inconsistent.
    """
    if config["encoder"] == "ast":
        return build_tagger(config, classes)
    try:
        return GridTagger(encoder=build_encoder(config), classes=classes)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None
