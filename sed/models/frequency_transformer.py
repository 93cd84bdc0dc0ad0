"""Frequency-wise transformer encoder (FTE): a learned token reads the bands of each time step (P, L)."""

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
}


class FrequencyTransformer(nn.Module):
    """FTE: a learned token, shared over time, attends to the bands of its own time step (P, L).

    Blocks attend along frequency only; no further positions. Only the token leaves, so the last block computes
    nothing for the bands but their keys and values.
    """

    no_weight_decay = ("token",)

    def __init__(self, *, dim: int, blocks: int = 2, heads: int = 4, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError("fte_blocks: at least 1")
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(Block(dim=dim, heads=heads, mlp_ratio=mlp_ratio) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        init_weights(self, dim)
        nn.init.trunc_normal_(self.token, std=0.02)

    @property
    def last(self) -> Block:
        """The block that is computed for the token alone."""
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return block

    @property
    def reads_weights_of(self) -> tuple[nn.Linear, ...]:
        """The linear maps that are not called: `Attention.first` reads parts of their weights."""
        return (self.last.attn.qkv,)

    def forward(self, grid: Tensor) -> Tensor:
        """(batch, bands, patches, dim) -> (batch, patches, dim)."""
        batch, bands, patches, dim = grid.shape
        columns = grid.transpose(1, 2).reshape(batch * patches, bands, dim)
        x = torch.cat([self.token.to(columns.dtype).expand(batch * patches, -1, -1), columns], dim=1)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.last.first(x)).view(batch, patches, dim)


def build_fte(config: Mapping[str, Any], encoder: Encoder) -> Pooling:
    """Build the frequency-wise transformer of a flat config."""
    return FrequencyTransformer(dim=encoder.dim, blocks=config["fte_blocks"], heads=config["fte_heads"])
