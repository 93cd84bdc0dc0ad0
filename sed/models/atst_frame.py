"""ATST-Frame (Li, Shao, Li 2023) as an encoder: a transformer over frames of 40 ms.

A patch is four frames of the spectrogram with all frequencies, so there is one band; there is no class token.
Parameters have the names of the published checkpoint. Its embedding of masked frames, of use only in pre-training, has
no counterpart here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.ast import NORM_EPS, Block, init_weights, run_blocks

DIM = 768
FRONT_END = {
    "front_end": "stft",
    "sample_rate": 16000,
    "frame_length": 0.064,
    "frame_shift": 0.01,
    "window": "hann",
    "window_ends": "periodic",
    "fft_size": 1024,
    "centring": "reflect",
    "mel_bins": 64,
    "f_min": 60.0,
    "f_max": 7800.0,
    "mel_scale": "htk",
    "mel_norm": "peak",
    "power": 2,
    "log": "db",
    "log_floor": 1e-10,
    "top_db": 80.0,
    "clamp": "-50,80",
    "normaliser": "fixed",
    "norm_mean": -14.482,
    "norm_std": 32.5831,
}
"""front end of the published weights (conf/logmel_atst.yaml)"""

OPTIONS = {
    "atst_dim": {"default": DIM, "help": "width of ATST-Frame", "least": 1},
    "atst_depth": {"default": 12, "help": "number of blocks of the ATST-Frame checkpoint", "least": 1},
    "atst_heads": {"default": 12, "help": "attention heads of an ATST-Frame block", "least": 1},
    "atst_mlp_ratio": {
        "default": 4.0,
        "help": "hidden width of an ATST-Frame block's MLP, relative to the block's width",
        "least": 0,
    },
    "atst_blocks": {
        "default": 12,
        "help": "number of first blocks of ATST-Frame to use; fewer than all are followed by a new LayerNorm",
        "least": 1,
    },
    "atst_patch_time": {"default": 4, "help": "frames per ATST-Frame patch", "least": 1},
}


class FramePatches(nn.Module):
    """Linear map of non-overlapping patches of `patch` frames: (batch, frames, mel bins) to (batch, patches, dim).

    Frames at the end that do not fill a patch are dropped.
    """

    def __init__(self, *, mel_bins: int, patch: int, dim: int) -> None:
        super().__init__()
        self.patch = patch
        self.patch_embed = nn.Linear(mel_bins * patch, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, bins = x.shape
        patches = x[:, : frames - frames % self.patch].reshape(batch, -1, self.patch, bins)
        return self.patch_embed(patches.transpose(2, 3).flatten(2))  # as published: a bin's frames are adjacent


class AtstFrame(nn.Module):
    """First `blocks` of an ATST-Frame, with its final norm if these are all of its `depth`.

    It maps (batch, frames, mel bins) to (batch, 1, patches, dim).
    """

    no_weight_decay = ("pos_embed",)

    def __init__(
        self,
        *,
        mel_bins: int = 64,
        input_frames: int = 1001,
        dim: int = DIM,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        depth: int = 12,
        blocks: int = 12,
        patch: int = 4,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if blocks > depth:
            raise ValueError(f"atst_blocks {blocks} is more than atst_depth {depth}")
        if input_frames < patch:
            raise ValueError(f"ATST-Frame has no patch: {input_frames} frames are fewer than atst_patch_time {patch}")
        self.front_end = FRONT_END if dim == DIM else {}  # other sizes have no published weights
        self.dim = dim
        self.grid = (1, input_frames // patch)
        self.time_stride = patch
        self.fresh_norm = blocks < depth
        self.checkpoint_activations = checkpoint_activations
        # The first position is that of a class token: the checkpoint has it, ATST-Frame does not use it.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[1], dim))
        self.patch_embed = FramePatches(mel_bins=mel_bins, patch=patch, dim=dim)
        self.blocks = nn.ModuleList(
            Block(dim=dim, heads=heads, mlp_ratio=mlp_ratio, norm_eps=NORM_EPS, qkv_bias=False) for _ in range(blocks)
        )  # no bias of queries, keys and values, as published
        self.norm_frame = nn.Identity() if self.fresh_norm else nn.LayerNorm(dim, eps=NORM_EPS)
        init_weights(self, dim)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x) + self.pos_embed[:, 1:]
        x = run_blocks(self.blocks, x, recompute=self.checkpoint_activations and self.training)
        return self.norm_frame(x).unsqueeze(1)


def build_atst_frame(config: Mapping[str, Any], *, whole: bool = False) -> AtstFrame:
    """Build the ATST-Frame of a flat config: its first `atst_blocks` blocks, or all `atst_depth` if `whole`.

    Raises:
        ValueError: its values are inconsistent.
    """
    return AtstFrame(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        dim=config["atst_dim"],
        heads=config["atst_heads"],
        mlp_ratio=config["atst_mlp_ratio"],
        depth=config["atst_depth"],
        blocks=config["atst_depth"] if whole else config["atst_blocks"],
        patch=config["atst_patch_time"],
        checkpoint_activations=config["checkpoint_activations"],
    )
