"""EAT (Chen et al. 2024) as an encoder: a self-distilled transformer over patches of 16 x 16.

SSLAM has the same network. Patches do not overlap: there are eight bands at 128 bins, and a time step every 160 ms. In
the sequence, a class token is followed by the patches, with the bands of a step adjacent. Position embeddings are fixed
sinusoids. A LayerNorm follows each half of a block, so that the output of every block is normalised and no final norm
is needed. The front end is that of the AST (conf/logmel.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.ast import NORM_EPS, Block, convolve_patches, grid_size, init_weights, run_blocks

DIM = 768
PUBLISHED_DIMS = (DIM, 1024)  # base and large
PATCH = 16
FRONT_END = {
    "front_end": "kaldi",
    "sample_rate": 16000,
    "wave_norm": "none",
    "wave_scale": 1.0,
    "frame_length": 0.025,
    "frame_shift": 0.01,
    "window": "hann",
    "window_ends": "symmetric",
    "fft_size": 512,
    "mel_bins": 128,
    "f_min": 20.0,
    "f_max": 8000.0,
    "normaliser": "fixed",
}
"""front end of the published weights (conf/logmel.yaml); norm_mean and norm_std are free, since the authors round those
of the AST
"""

OPTIONS = {
    "eat_dim": {"default": DIM, "help": "width of EAT (base 768, large 1024)", "least": 4},
    "eat_depth": {"default": 12, "help": "number of blocks of the EAT checkpoint (base 12, large 24)", "least": 1},
    "eat_heads": {"default": 12, "help": "attention heads of an EAT block (base 12, large 16)", "least": 1},
    "eat_mlp_ratio": {
        "default": 4.0,
        "help": "hidden width of an EAT block's MLP, relative to the block's width",
        "least": 0,
    },
    "eat_blocks": {"default": 12, "help": "number of first blocks of EAT to use", "least": 1},
}


class PostNormBlock(Block):
    """Transformer block with LayerNorms after its residual connections."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, dim) to the same shape."""
        x = self.norm1(x + self._dropped(self.attn(x)))
        return self.norm2(x + self._dropped(self.mlp(x)))

    def first(self, x: Tensor) -> Tensor:
        """Compute the first token's output only: (batch, tokens, dim) to (batch, 1, dim)."""
        x = self.norm1(x[:, :1] + self.attn.first(x))
        return self.norm2(x + self.mlp(x))


class TimeMajorPatches(nn.Module):
    """Patch embedding: (batch, frames, mel bins) to (batch, steps * bands, dim), time step by time step."""

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return convolve_patches(self.proj, x.unsqueeze(1))


def fixed_positions(steps: int, bands: int, dim: int) -> Tensor:
    """Return fixed position embeddings of a grid, in the order of `TimeMajorPatches`.

    The first half of the dimensions encodes the band, the second the time step, each by sines and then cosines at
    geometrically decreasing frequencies.

    Args:
        steps: number of time steps.
        bands: number of bands.
        dim: width, a multiple of 4.

    Returns:
        (1, steps * bands, dim).
    """
    frequencies = 10000.0 ** -torch.linspace(0, 1, dim // 4 + 1)[:-1]  # as in Vaswani et al. 2017
    band, step = (torch.outer(torch.arange(count), frequencies) for count in (bands, steps))
    of_band, of_step = (torch.cat([angle.sin(), angle.cos()], 1) for angle in (band, step))
    return torch.cat([of_band.repeat(steps, 1), of_step.repeat_interleave(bands, 0)], 1).unsqueeze(0)


class Eat(nn.Module):
    """First `blocks` of an EAT, from (batch, frames, mel bins) to (batch, bands, patches in time, dim)."""

    fresh_norm = False  # no new norm after the last of `blocks`: each ends with its own
    no_weight_decay = ("extra_tokens",)
    positions: Tensor
    """`fixed_positions` (1, steps * bands, dim)"""

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        input_frames: int = 1024,
        dim: int = DIM,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        depth: int = 12,
        blocks: int = 12,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if blocks > depth:
            raise ValueError(f"eat_blocks {blocks} is more than eat_depth {depth}")
        if dim % 4:
            raise ValueError(f"eat_dim {dim} is not a multiple of 4, as its positions need")
        self.front_end = FRONT_END if dim in PUBLISHED_DIMS else {}  # other sizes have no published weights
        self.dim = dim
        size = (PATCH, PATCH)
        self.grid = grid_size(mel_bins=mel_bins, input_frames=input_frames, patch=size, stride=size)
        self.time_stride = PATCH
        self.checkpoint_activations = checkpoint_activations
        self.local_encoder = TimeMajorPatches(dim=dim)  # the authors' name
        self.register_buffer("positions", fixed_positions(self.grid[1], self.grid[0], dim))
        self.extra_tokens = nn.Parameter(torch.zeros(1, 1, dim))
        self.pre_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.blocks = nn.ModuleList(
            PostNormBlock(dim=dim, heads=heads, mlp_ratio=mlp_ratio, norm_eps=NORM_EPS) for _ in range(blocks)
        )
        init_weights(self, dim)
        nn.init.normal_(self.extra_tokens)  # as in data2vec 2.0, from which EAT is derived

    def forward(self, x: Tensor) -> Tensor:
        x = self.local_encoder(x) + self.positions
        x = torch.cat([self.extra_tokens.to(x.dtype).expand(x.shape[0], -1, -1), x], dim=1)  # ONNX cannot trace len()
        x = run_blocks(self.blocks, self.pre_norm(x), recompute=self.checkpoint_activations and self.training)
        return x[:, 1:].reshape(-1, self.grid[1], self.grid[0], self.dim).transpose(1, 2)


def build_eat(config: Mapping[str, Any], *, whole: bool = False) -> Eat:
    """Build the EAT of a flat config: its first `eat_blocks` blocks, or all `eat_depth` if `whole`."""
    return Eat(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        dim=config["eat_dim"],
        heads=config["eat_heads"],
        mlp_ratio=config["eat_mlp_ratio"],
        depth=config["eat_depth"],
        blocks=config["eat_depth"] if whole else config["eat_blocks"],
        checkpoint_activations=config["checkpoint_activations"],
    )
