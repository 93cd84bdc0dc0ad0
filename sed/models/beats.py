"""BEATs (Chen et al. 2023) as an encoder: a transformer over patches of 16 x 16 with relative positions.

Patches do not overlap: there are eight bands at 128 bins, and a time step every 160 ms; in the sequence, the bands of a
step are adjacent. A convolution over the patches encodes positions. Every block adds a bias to its attention that
depends on the distance of two patches, from a table shared by all blocks, scaled by a gate of the query. Residual
connections are weighted (DeepNorm) and followed by a LayerNorm, so that the output of every block is normalised. In the
parameters' published names, `grep` is the gated relative position bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.models.ast import convolve_patches, grid_size, init_weights, run_blocks

DIM = 768
PATCH = 16
NORM_EPS = 1e-5
# Sizes of the published network:
KERNEL, GROUPS = 128, 16  # of the positional convolution; the kernel is in tokens
BUCKETS, FARTHEST = 320, 800  # entries of the table of position biases, and distance in tokens from which all share one
GATE = 8  # outputs of the linear map of a query; each of its two gates is the sigmoid of the sum of half of them
FRONT_END = {
    "front_end": "kaldi",
    "sample_rate": 16000,
    "wave_norm": "none",
    "wave_scale": 32768.0,
    "frame_length": 0.025,
    "frame_shift": 0.01,
    "window": "povey",
    "fft_size": 512,
    "mel_bins": 128,
    "f_min": 20.0,
    "f_max": 8000.0,
    "normaliser": "fixed",
    "norm_mean": 15.41663,
    "norm_std": 6.55582,
}
"""front end of the published weights (conf/logmel_beats.yaml)"""

OPTIONS = {
    "beats_dim": {"default": DIM, "help": "width of BEATs", "least": 1},
    "beats_patch_dim": {"default": 512, "help": "width of BEATs' patch embedding before its projection", "least": 1},
    "beats_depth": {"default": 12, "help": "number of blocks of the BEATs checkpoint", "least": 1},
    "beats_heads": {"default": 12, "help": "attention heads of a BEATs block", "least": 1},
    "beats_mlp_ratio": {
        "default": 4.0,
        "help": "hidden width of a BEATs block's MLP, relative to the block's width",
        "least": 0,
    },
    "beats_blocks": {"default": 12, "help": "number of first blocks of BEATs to use", "least": 1},
    "beats_frames": {
        "default": 0,
        "help": "number of frames that the sequence of all BEATs patches is averaged to, as in PretrainedSED; this "
        "mixes neighbouring bands; 0: keep bands and time steps",
        "least": 0,
    },
}


def distance_buckets(tokens: int) -> Tensor:
    """Return the bucket of the relative position of each query and key (tokens, tokens), from 0 to BUCKETS - 1.

    Half of the buckets are for keys up to the query, half for later ones. Of each half, the first half has one bucket
    per distance; the widths of the others grow geometrically up to FARTHEST, and all larger distances share the last.
    """
    half = BUCKETS // 2
    exact = half // 2
    offset = torch.arange(tokens)[None, :] - torch.arange(tokens)[:, None]
    distance = offset.abs()
    growth = torch.log(distance.clamp(min=exact).float() / exact) / math.log(FARTHEST / exact)
    far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (offset > 0)


class PositionalConvolution(nn.Module):
    """Grouped convolution over the tokens (batch, tokens, dim), and a GELU.

    Its weights are weight-normalised per tap of the kernel: `weight_g` has the norms, `weight_v` the directions.
    """

    # `weight_g` are factors, as in a norm; the length of `weight_v` has no effect on the output.
    no_weight_decay = ("weight_g", "weight_v")

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        if dim % GROUPS:
            raise ValueError(f"beats_dim {dim} is not a multiple of {GROUPS}, the groups of its convolution")
        # standard deviation of wav2vec 2.0's positional convolution, which BEATs has taken over
        self.weight_v = nn.Parameter(torch.empty(dim, dim // GROUPS, KERNEL))
        nn.init.normal_(self.weight_v, std=math.sqrt(4 / (KERNEL * dim)))
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        x = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=KERNEL // 2, groups=GROUPS)
        return F.gelu(x[..., :-1]).transpose(1, 2)  # an even kernel with this padding returns one token too many


class GatedAttention(nn.Module):
    """Multi-head self-attention with a position bias, which is scaled by a gate of each query."""

    no_weight_decay = ("grep_a",)  # a factor, 1 at first

    def __init__(self, *, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not a multiple of {heads} heads")
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))
        self.grep_linear = nn.Linear(dim // heads, GATE)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Map (batch, tokens, dim) and the position bias (heads, tokens, tokens) to (batch, tokens, dim)."""
        q, k, v = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        # Gated relative position bias of WavLM (Chen et al. 2022):
        update, reset = self.grep_linear(q).unflatten(3, (2, GATE // 2)).sum(-1).sigmoid().split(1, dim=-1)
        gate = update * (reset * self.grep_a - 1) + 2
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=(gate * bias).to(q.dtype))
        return self.out_proj(x.transpose(1, 2).flatten(2))


class DeepNormBlock(nn.Module):
    """Transformer block with weighted residual connections and LayerNorms after them (DeepNorm, Wang et al. 2022)."""

    def __init__(self, *, dim: int, heads: int, mlp_ratio: float, depth: int) -> None:
        super().__init__()
        self.weight = (2 * depth) ** 0.25  # DeepNorm's alpha of an encoder
        self.self_attn = GatedAttention(dim=dim, heads=heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.fc1 = nn.Linear(dim, int(dim * mlp_ratio))
        self.fc2 = nn.Linear(int(dim * mlp_ratio), dim)
        self.final_layer_norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Map (batch, tokens, dim) and the bias (heads, tokens, tokens) to (batch, tokens, dim)."""
        x = self.self_attn_layer_norm(self.weight * x + self.self_attn(x, bias))
        return self.final_layer_norm(self.weight * x + self.fc2(F.gelu(self.fc1(x))))

    def shrink(self, factor: float) -> None:
        """Scale the weights that DeepNorm initialises smaller: values, output of the attention, MLP."""
        for linear in (self.self_attn.v_proj, self.self_attn.out_proj, self.fc1, self.fc2):
            linear.weight.data.mul_(factor)


def averages(tokens: int, frames: int) -> Tensor:
    """Return weights (frames, tokens) of adaptive average pooling: the mean over the tokens that a frame overlaps."""
    first = torch.arange(frames) * tokens // frames
    after = -(-(torch.arange(frames) + 1) * tokens // frames)
    token = torch.arange(tokens)
    inside = (token >= first[:, None]) & (token < after[:, None])
    return inside / inside.sum(1, keepdim=True)


class Beats(nn.Module):
    """First `blocks` of a BEATs.

    It maps (batch, frames, mel bins) to (batch, bands, patches, dim), or, with `frames` (option `beats_frames`), to
    (batch, 1, frames, dim). `depth` is the number of blocks of the checkpoint, on which DeepNorm's weights depend.
    """

    fresh_norm = False  # no new norm after the last of its blocks: each ends with its own
    buckets: Tensor
    """`distance_buckets` of the clip's tokens (tokens, tokens)"""
    averages: Tensor
    """`averages` (frames, tokens); without `frames`, unused"""

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        input_frames: int = 1008,  # 63 time steps, which cover 10 s
        dim: int = DIM,
        patch_dim: int = 512,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        depth: int = 12,
        blocks: int = 12,
        frames: int = 0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if blocks > depth:
            raise ValueError(f"beats_blocks {blocks} is more than beats_depth {depth}")
        self.front_end = FRONT_END if dim == DIM else {}  # other sizes have no published weights
        self.dim = dim
        size = (PATCH, PATCH)
        self.bands, self.steps = grid_size(mel_bins=mel_bins, input_frames=input_frames, patch=size, stride=size)
        self.tokens, self.frames = self.bands * self.steps, frames
        if frames > self.tokens:
            raise ValueError(f"beats_frames {frames} is more than BEATs' {self.tokens} patches")
        self.grid = (1, frames) if frames else (self.bands, self.steps)
        self.time_stride = round(input_frames / frames) if frames else PATCH  # the nearest whole number of frames
        self.checkpoint_activations = checkpoint_activations
        self.patch_embedding = nn.Conv2d(1, patch_dim, kernel_size=PATCH, stride=PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(patch_dim, eps=NORM_EPS)
        self.post_extract_proj = nn.Linear(patch_dim, dim) if patch_dim != dim else nn.Identity()
        self.pos_conv = PositionalConvolution(dim=dim)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.distances = nn.Embedding(BUCKETS, heads)
        self.blocks = nn.ModuleList(
            DeepNormBlock(dim=dim, heads=heads, mlp_ratio=mlp_ratio, depth=depth) for _ in range(blocks)
        )
        self.register_buffer("buckets", distance_buckets(self.tokens), persistent=False)
        self.register_buffer("averages", averages(self.tokens, frames or 1), persistent=False)
        init_weights(self, dim)
        nn.init.normal_(self.distances.weight, std=0.02)  # as `init_weights` at the published width
        for block in self.blocks:
            if isinstance(block, DeepNormBlock):
                block.shrink((8 * depth) ** -0.25)  # DeepNorm's beta of an encoder

    def forward(self, x: Tensor) -> Tensor:
        x = convolve_patches(self.patch_embedding, x.unsqueeze(1))
        x = self.post_extract_proj(self.layer_norm(x))
        x = self.norm(x + self.pos_conv(x))
        bias = self.distances(self.buckets).permute(2, 0, 1)
        x = run_blocks(self.blocks, x, bias, recompute=self.checkpoint_activations and self.training)
        if self.frames:
            return (self.averages.to(x.dtype) @ x).unsqueeze(1)
        return x.reshape(-1, self.steps, self.bands, self.dim).transpose(1, 2)


def build_beats(config: Mapping[str, Any], *, whole: bool = False) -> Beats:
    """Build the BEATs of a flat config: its first `beats_blocks` blocks, or all `beats_depth` if `whole`."""
    return Beats(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        dim=config["beats_dim"],
        patch_dim=config["beats_patch_dim"],
        heads=config["beats_heads"],
        mlp_ratio=config["beats_mlp_ratio"],
        depth=config["beats_depth"],
        blocks=config["beats_depth"] if whole else config["beats_blocks"],
        frames=config["beats_frames"],
        checkpoint_activations=config["checkpoint_activations"],
    )
