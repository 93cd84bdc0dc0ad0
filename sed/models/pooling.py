"""Frequency pooling: a grid (batch, bands, patches, dim) to frames (batch, patches, dim)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sed.models.ast import NORM_EPS, Block, init_weights

OPTIONS = {
    "pooling": {"default": "fte", "help": "from bands to frames", "choices": ["mean", "fte", "band"]},
    "band": {"default": 0, "help": "which band, lowest first (pooling: band)", "least": 0},
    "fte_blocks": {"default": 2, "help": "blocks of the frequency-wise transformer", "least": 1},
    "fte_heads": {"default": 4, "help": "attention heads of a frequency-wise block", "least": 1},
}


class MeanPooling(nn.Module):
    """C_t = mean over the bands (P: AST-GRU)."""

    def forward(self, grid: Tensor) -> Tensor:
        return grid.mean(1)


class BandPooling(nn.Module):
    """One band in place of the mean, lowest first (P: figure 3)."""

    def __init__(self, *, bands: int, band: int) -> None:
        super().__init__()
        if not 0 <= band < bands:
            raise ValueError(f"band {band} is not among the encoder's {bands} bands (0 to {bands - 1})")
        self.band = band

    def forward(self, grid: Tensor) -> Tensor:
        return grid[:, self.band]


class FrequencyTransformer(nn.Module):
    """FTE: a learned token, shared over time, attends to the bands of its own time step (P, L).

    Blocks attend along frequency only; no further positions. Only the token leaves, so the last block computes
    nothing for the bands but their keys and values.
    """

    def __init__(self, *, dim: int, blocks: int = 2, heads: int = 4, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError("fte_blocks: at least 1")
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(Block(dim=dim, heads=heads, mlp_ratio=mlp_ratio) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        init_weights(self, dim)
        nn.init.trunc_normal_(self.token, std=0.02)

    def forward(self, grid: Tensor) -> Tensor:
        """(batch, bands, patches, dim) -> (batch, patches, dim)."""
        batch, bands, patches, dim = grid.shape
        columns = grid.transpose(1, 2).reshape(batch * patches, bands, dim)
        x = torch.cat([self.token.to(columns.dtype).expand(batch * patches, -1, -1), columns], dim=1)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1].first(x)).view(batch, patches, dim)


def build_pooling(kind: str, *, bands: int, dim: int, band: int, fte_blocks: int, fte_heads: int) -> nn.Module:
    """The pooling that a config names."""
    if kind == "mean":
        return MeanPooling()
    if kind == "band":
        return BandPooling(bands=bands, band=band)
    if kind == "fte":
        return FrequencyTransformer(dim=dim, blocks=fte_blocks, heads=fte_heads)
    raise ValueError(f"pooling '{kind}' is not known (mean, fte, band)")
