"""Frequency-wise transformer encoder (FTE), a frequency pooling (P, L).

Letters such as (P) name sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.ast import NORM_EPS, Block, init_weights
from sed.models.encoders import Encoder
from sed.models.poolings import Pooling

OPTIONS = {
    "fte_blocks": {"default": 2, "help": "blocks of the frequency-wise transformer", "least": 1},
    "fte_heads": {"default": 4, "help": "attention heads of a frequency-wise block", "least": 1},
    "fte_token": {
        "default": "shared",
        "help": "class token: one for all time steps (L), or one per time step, as P can be read",
        "choices": ["shared", "per_step"],
    },
    "fte_token_spread": {
        "default": 0.02,
        "help": "standard deviation of the token's normally distributed initial values (L: 0.816)",
        "least": 0,
    },
}


class FrequencyTransformer(nn.Module):
    """FTE: a learned token, shared over time or one per time step, attends to the bands of a step (P, L).

    A time step is a patch in time. Blocks attend along frequency only and add no positions. Only the token is used
    afterwards, so the last block computes no more of the bands than their keys and values.
    """

    no_weight_decay = ("token",)

    def __init__(
        self,
        *,
        dim: int,
        blocks: int = 2,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        tokens: int = 1,
        token_spread: float = 0.02,
    ) -> None:
        """
        Args:
            dim: width of the encoder.
            blocks: number of blocks.
            heads: attention heads of a block.
            mlp_ratio: hidden width of a block's MLP, relative to `dim`.
            tokens: number of learned tokens: 1, or the number of patches in time.
            token_spread: standard deviation of the normal distribution of the tokens' initial values, which is cut at
                the values +-2 (PyTorch's default, not 2 standard deviations).

        Raises:
            ValueError: there are no blocks, or `dim` is not a multiple of `heads`.
        """
        super().__init__()
        if blocks < 1:
            raise ValueError("fte_blocks: at least 1")
        self.token = nn.Parameter(torch.zeros(1, tokens, dim))
        self.blocks = nn.ModuleList(Block(dim=dim, heads=heads, mlp_ratio=mlp_ratio) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        init_weights(self, dim)
        if token_spread:
            nn.init.trunc_normal_(self.token, std=token_spread)

    @property
    def last(self) -> Block:
        """Last block, which is computed for the token only."""
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return block

    @property
    def reads_weights_of(self) -> tuple[nn.Linear, ...]:
        """Linear maps that are not called, because `Attention.first` uses slices of their weights.

        Prediction on a CPU must not replace them by packed linear layers (`sed.prediction.cpu`).
        """
        return (self.last.attn.qkv,)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (batch, bands, patches, dim) to (batch, patches, dim)."""
        batch, bands, patches, dim = grid.shape
        columns = grid.transpose(1, 2).reshape(batch * patches, bands, dim)
        token = self.token.to(columns.dtype).expand(batch, patches, dim).reshape(batch * patches, 1, dim)
        x = torch.cat([token, columns], dim=1)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.last.first(x)).view(batch, patches, dim)


def build_fte(config: Mapping[str, Any], encoder: Encoder) -> Pooling:
    """Build the frequency-wise transformer of a flat config."""
    return FrequencyTransformer(
        dim=encoder.dim,
        blocks=config["fte_blocks"],
        heads=config["fte_heads"],
        tokens=encoder.grid[1] if config["fte_token"] == "per_step" else 1,
        token_spread=config["fte_token_spread"],
    )
