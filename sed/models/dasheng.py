"""Dasheng (Dinkel et al. 2024) as an encoder: the transformer of a masked auto-encoder, over frames of 40 ms.

After a batch norm of each mel bin, patches of four frames cover all frequencies, so there is one band; there is no
class token. Parameters have the names of the published checkpoint, except `init_bn`, which is `init_bn.1` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.ast import NORM_EPS, Block, PatchEmbed, init_weights, run_blocks

DIM = 768
PUBLISHED_DIMS = (DIM, 1280, 1536)  # base, 0.6B and 1.2B
FRONT_END = {
    "front_end": "stft",
    "sample_rate": 16000,
    "frame_length": 0.032,
    "frame_shift": 0.01,
    "window": "hann",
    "window_ends": "periodic",
    "fft_size": 512,
    "centring": "reflect",
    "mel_bins": 64,
    "f_min": 0.0,
    "f_max": 8000.0,
    "mel_scale": "htk",
    "mel_norm": "peak",
    "power": 2,
    "log": "db",
    "log_floor": 1e-10,
    "top_db": 120.0,
    "clamp": "none",
    "normaliser": "none",
}
"""front end of the published weights (conf/logmel_dasheng.yaml)"""

OPTIONS = {
    "dasheng_dim": {"default": DIM, "help": "width of Dasheng (base 768, 0.6B 1280, 1.2B 1536)", "least": 1},
    "dasheng_depth": {
        "default": 12,
        "help": "number of blocks of the Dasheng checkpoint (base 12, 0.6B 32, 1.2B 40)",
        "least": 1,
    },
    "dasheng_heads": {
        "default": 12,
        "help": "attention heads of a Dasheng block (base 12, 0.6B 16, 1.2B 24)",
        "least": 1,
    },
    "dasheng_mlp_ratio": {
        "default": 4.0,
        "help": "hidden width of a Dasheng block's MLP, relative to the block's width",
        "least": 0,
    },
    "dasheng_blocks": {
        "default": 12,
        "help": "number of first blocks of Dasheng to use; fewer than all are followed by a new LayerNorm",
        "least": 1,
    },
    "dasheng_patch_time": {"default": 4, "help": "frames per Dasheng patch", "least": 1},
}


class Dasheng(nn.Module):
    """First `blocks` of a Dasheng, with its final norm if these are all of its `depth`.

    It maps (batch, frames, mel bins) to (batch, 1, patches, dim). After fewer blocks, the detector adds a new norm
    (`fresh_norm`).
    """

    no_weight_decay = ("time_pos_embed", "freq_pos_embed")

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
            raise ValueError(f"dasheng_blocks {blocks} is more than dasheng_depth {depth}")
        if input_frames < patch:
            raise ValueError(f"Dasheng has no patch: {input_frames} frames are fewer than dasheng_patch_time {patch}")
        self.front_end = FRONT_END if dim in PUBLISHED_DIMS else {}  # other sizes have no published weights
        self.dim = dim
        self.grid = (1, input_frames // patch)
        self.time_stride = patch
        self.fresh_norm = blocks < depth
        self.checkpoint_activations = checkpoint_activations
        self.init_bn = nn.BatchNorm1d(mel_bins, momentum=0.01)  # as published
        self.patch_embed = PatchEmbed(dim=dim, patch=(mel_bins, patch), stride=(mel_bins, patch))
        self.time_pos_embed = nn.Parameter(torch.zeros(1, dim, 1, self.grid[1]))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, dim, 1, 1))
        self.blocks = nn.ModuleList(
            Block(dim=dim, heads=heads, mlp_ratio=mlp_ratio, norm_eps=NORM_EPS) for _ in range(blocks)
        )
        self.norm = nn.Identity() if self.fresh_norm else nn.LayerNorm(dim, eps=NORM_EPS)
        init_weights(self, dim)
        for positions in (self.time_pos_embed, self.freq_pos_embed):
            nn.init.trunc_normal_(positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(self.init_bn(x.transpose(1, 2)).unsqueeze(1))
        x = x + (self.time_pos_embed + self.freq_pos_embed).flatten(2).transpose(1, 2)
        x = run_blocks(self.blocks, x, recompute=self.checkpoint_activations and self.training)
        return self.norm(x).unsqueeze(1)


def build_dasheng(config: Mapping[str, Any], *, whole: bool = False) -> Dasheng:
    """Build the Dasheng of a flat config: its first `dasheng_blocks` blocks, or all `dasheng_depth` if `whole`."""
    return Dasheng(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        dim=config["dasheng_dim"],
        heads=config["dasheng_heads"],
        mlp_ratio=config["dasheng_mlp_ratio"],
        depth=config["dasheng_depth"],
        blocks=config["dasheng_depth"] if whole else config["dasheng_blocks"],
        patch=config["dasheng_patch_time"],
        checkpoint_activations=config["checkpoint_activations"],
    )
