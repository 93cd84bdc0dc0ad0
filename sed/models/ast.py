"""Audio Spectrogram Transformer (Gong, Chung, Glass 2021) in the published layout: the patch-wise encoder (P, L).

Parameters have the names of the published checkpoint (without `v.`), so that its state dict can be loaded unchanged.
In shapes, the patch grid is (bands, patches): the numbers of patches in frequency and in time. Letters such as (P, L)
are sources, which `sed/models/__init__.py` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sed.models import short_attention

LEADING = 2  # class and distillation token
NORM_EPS = 1e-6  # of timm's vision transformer, which the authors' AST is based on; Hugging Face's configs have 1e-12


OPTIONS = {
    "ast_dim": {"default": 768, "help": "width of the AST", "least": 1},
    "ast_depth": {"default": 12, "help": "number of blocks of the AST checkpoint", "least": 1},
    "ast_heads": {"default": 12, "help": "attention heads of an AST block", "least": 1},
    "ast_mlp_ratio": {
        "default": 4.0,
        "help": "hidden width of an AST block's MLP, relative to the block's width",
        "least": 0,
    },
    "ast_blocks": {
        "default": 10,
        "help": "number of first blocks of the AST to use; a new LayerNorm follows",
        "least": 1,
    },
    "patch_freq": {"default": 16, "help": "mel bins per patch", "least": 1},
    "patch_time": {"default": 16, "help": "frames per patch", "least": 1},
    "stride_freq": {"default": 10, "help": "mel bins from one patch to the next", "least": 1},
    "stride_time": {"default": 10, "help": "frames from one patch to the next", "least": 1},
    "ast_norm_eps": {"default": NORM_EPS, "help": "epsilon of the AST's LayerNorms", "least": 0},
    "checkpoint_activations": {
        "default": False,
        "help": "activation checkpointing: recompute the encoder's blocks in backward; less memory, slower",
    },
}


def init_weights(part: nn.Module, dim: int) -> None:
    """Initialise the linear maps of a transformer of width `dim`: weights truncated normal, biases zero (as DeiT, L).

    The standard deviation is 0.02 at a width of 768, and scaled at others so that the gain is the same; otherwise
    activations of narrow models vanish at initialisation.
    """
    for module in part.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02 * math.sqrt(768 / dim))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Attention(nn.Module):
    """Multi-head self-attention with one projection for query, key and value, and torch's fused kernel."""

    def __init__(self, *, dim: int, heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not a multiple of {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, dim) to the same shape."""
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, dim // self.heads)
        if short_attention.usable(qkv):
            return self.proj(short_attention.self_attention(qkv).view(batch, tokens, dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, dim))

    def first(self, x: Tensor) -> Tensor:
        """Compute the first token's output only, from all keys and values: (batch, tokens, dim) to (batch, 1, dim).

        The last block of the frequency-wise transformer, whose output is its class token, needs no others. `qkv` must
        have a bias.
        """
        batch, tokens, dim = x.shape
        weight, bias = self.qkv.weight, self.qkv.bias
        head = dim // self.heads
        q = F.linear(x[:, :1], weight[:dim], bias[:dim]).view(batch, 1, self.heads, head)
        kv = F.linear(x, weight[dim:], bias[dim:]).view(batch, tokens, 2, self.heads, head)
        if short_attention.usable(kv):
            return self.proj(short_attention.query_attention(q, kv).view(batch, 1, dim))
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q.transpose(1, 2), k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, 1, dim))


RunFirst = Callable[[nn.Module, Tensor], Tensor]
"""Apply a linear map and a GELU: (..., dim) to (..., hidden). `sed.gpu.joined_gelu` has one of a single kernel."""


def linear_gelu(linear: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear map, and a GELU to its output; see `RunFirst`."""
    return F.gelu(linear(x))


class Mlp(nn.Module):
    """Two linear maps around a GELU."""

    def __init__(self, *, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.run_first: RunFirst = linear_gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.run_first(self.fc1, x))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(
        self, *, dim: int, heads: int, mlp_ratio: float, norm_eps: float = NORM_EPS, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim=dim, heads=heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim=dim, hidden=int(dim * mlp_ratio))
        self.drop_path = 0.0
        """probability of skipping a residual branch for a clip (Huang et al. 2016); only pre-training sets it"""

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, dim) to the same shape."""
        x = x + self._dropped(self.attn(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, x: Tensor) -> Tensor:
        if not (self.training and self.drop_path):
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
        return x * kept.to(x.dtype) / (1 - self.drop_path)

    def first(self, x: Tensor) -> Tensor:
        """Compute the first token's output only: (batch, tokens, dim) to (batch, 1, dim).

        No residual branch is skipped: only an encoder's blocks have a `drop_path`, and an encoder calls `forward`.
        """
        x = x[:, :1] + self.attn.first(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def run_blocks(blocks: Iterable[nn.Module], x: Tensor, *shared: Tensor, recompute: bool) -> Tensor:
    """Apply blocks one after another.

    Args:
        blocks: the blocks.
        x: (batch, tokens, dim).
        *shared: further arguments, the same for every block.
        recompute: recompute blocks in the backward pass instead of storing their activations.

    Returns:
        (batch, tokens, dim).
    """
    for block in blocks:
        recomputed = recompute and torch.is_grad_enabled()
        x = checkpoint(block, x, *shared, use_reentrant=False) if recomputed else block(x, *shared)
    return x


def convolve_patches(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a convolution without padding to an input of one channel, as a matrix product of its patches.

    This is faster than the convolution of torch: by 1.4 times on two CPU cores for an AST's patches.

    Args:
        convolution: the convolution (1 to dim channels).
        x: (batch, 1, height, width).

    Returns:
        (batch, rows * columns, dim), patch by patch and row by row.
    """
    size, stride = convolution.weight.shape[2:], convolution.stride
    # A GPU runs F.unfold clip by clip: 2 of the 39 ms of an AST on 48 clips. ONNX has no operator for the views.
    patches = patch_views(x, size, stride) if x.is_cuda else F.unfold(x, size, stride=stride).transpose(1, 2)
    return F.linear(patches, convolution.weight.flatten(1), convolution.bias)


def patch_views(x: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Copy the patches of an input of one channel.

    Args:
        x: (batch, 1, height, width).
        size: height and width of a patch.
        stride: distance from one patch to the next in both.

    Returns:
        (batch, rows * columns, size[0] * size[1]), row by row.
    """
    views = x[:, 0].unfold(1, size[0], stride[0]).unfold(2, size[1], stride[1])  # (batch, rows, columns, *size)
    return views.flatten(3).flatten(1, 2)


class PatchEmbed(nn.Module):
    """Embedding of patches of the spectrogram by one convolution; patches overlap if `stride` is less than `patch`.

    Both are (frequency, time), in bins and frames.
    """

    def __init__(self, *, dim: int, patch: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, 1, mel bins, frames) to (batch, bands * patches, dim), band by band."""
        return convolve_patches(self.proj, x)


def grid_size(*, mel_bins: int, input_frames: int, patch: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    """Compute the size of a patch grid.

    Args:
        mel_bins: mel bins of the input.
        input_frames: frames of the input.
        patch: size of a patch (frequency, time), in bins and frames.
        stride: distance from one patch to the next (frequency, time), in bins and frames.

    Returns:
        The numbers of bands and of patches in time.

    Raises:
        ValueError: no patch fits.
    """
    if mel_bins < patch[0] or input_frames < patch[1]:
        raise ValueError(
            f"the patch grid has no frames: patches of {patch[0]} bins x {patch[1]} frames do not fit in"
            f" {mel_bins} mel bins x {input_frames} frames"
        )
    return (mel_bins - patch[0]) // stride[0] + 1, (input_frames - patch[1]) // stride[1] + 1


class AST(nn.Module):
    """First `blocks` of an AST, without its final norm.

    It maps (batch, frames, mel bins) to (batch, bands, patches, dim). `patch` and `stride` are as in `PatchEmbed`.
    """

    fresh_norm = True  # the detector adds a new LayerNorm after it (P, L)
    no_weight_decay = ("cls_token", "dist_token", "pos_embed")

    def __init__(
        self,
        *,
        mel_bins: int = 128,
        input_frames: int = 1024,
        dim: int = 768,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        blocks: int = 10,
        patch: tuple[int, int] = (16, 16),
        stride: tuple[int, int] = (10, 10),
        norm_eps: float = NORM_EPS,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.norm_eps = norm_eps
        self.grid = grid_size(mel_bins=mel_bins, input_frames=input_frames, patch=patch, stride=stride)
        self.time_stride = stride[1]
        self.checkpoint_activations = checkpoint_activations
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, LEADING + self.grid[0] * self.grid[1], dim))
        self.patch_embed = PatchEmbed(dim=dim, patch=patch, stride=stride)
        self.blocks = nn.ModuleList(
            Block(dim=dim, heads=heads, mlp_ratio=mlp_ratio, norm_eps=norm_eps) for _ in range(blocks)
        )
        init_weights(self, dim)
        for token in (self.cls_token, self.dist_token, self.pos_embed):
            nn.init.trunc_normal_(token, std=0.02)

    def embed(self, x: Tensor) -> Tensor:
        """Map (batch, frames, mel bins) to the input of the first block (batch, 2 + bands * patches, dim)."""
        x = self.patch_embed(x.unsqueeze(1).transpose(2, 3))
        batch = x.shape[0]
        leading = (self.cls_token.expand(batch, -1, -1), self.dist_token.expand(batch, -1, -1))
        return torch.cat([token.to(x.dtype) for token in leading] + [x], dim=1) + self.pos_embed

    def tokens(self, x: Tensor) -> Tensor:
        """Map (batch, frames, mel bins) to the output of the last block (batch, 2 + bands * patches, dim)."""
        return self.transform(self.embed(x))

    def transform(self, x: Tensor) -> Tensor:
        """Apply the blocks to any subset of the embedded tokens: (batch, tokens, dim) to the same shape."""
        return run_blocks(self.blocks, x, recompute=self.checkpoint_activations and self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, frames, mel bins) to (batch, bands, patches, dim), the two leading tokens dropped."""
        return self.from_embedded(self.embed(x))

    def from_embedded(self, x: Tensor) -> Tensor:
        """Complete `forward` after `embed`: (batch, 2 + bands * patches, dim) to (batch, bands, patches, dim)."""
        return self.transform(x)[:, LEADING:].reshape(-1, *self.grid, self.dim)


def build_ast(config: Mapping[str, Any], *, whole: bool = False) -> AST:
    """Build the AST of a flat config: its first `ast_blocks` blocks, or all `ast_depth` if `whole`.

    Raises:
        ValueError: its values are inconsistent.
    """
    blocks, depth = config["ast_blocks"], config["ast_depth"]
    if blocks > depth and not whole:
        raise ValueError(f"ast_blocks {blocks} is more than ast_depth {depth}")
    return AST(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        dim=config["ast_dim"],
        heads=config["ast_heads"],
        mlp_ratio=config["ast_mlp_ratio"],
        blocks=depth if whole else blocks,
        patch=(config["patch_freq"], config["patch_time"]),
        stride=(config["stride_freq"], config["stride_time"]),
        norm_eps=config["ast_norm_eps"],
        checkpoint_activations=config["checkpoint_activations"],
    )
