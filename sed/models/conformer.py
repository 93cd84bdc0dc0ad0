"""Conformer of Miyazaki et al. 2020 as a time decoder: blocks applied to a class token and the frames.

A block has a feed-forward layer of half weight, self-attention with relative positions, a convolution along time, and
another feed-forward layer of half weight (Gulati et al. 2020). The token is the summary for `clip_pooling: token`.
Defaults are those of the authors' project, ConformerSED (conf/conformer.yaml).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.decoders import Decoded, Decoder, repeated

OPTIONS = {
    "conformer_dim": {"default": 144, "help": "width of the Conformer", "least": 1},
    "conformer_blocks": {"default": 3, "help": "blocks of the Conformer", "least": 1},
    "conformer_heads": {"default": 4, "help": "attention heads of the Conformer", "least": 1},
    "conformer_hidden": {"default": 576, "help": "hidden units of the Conformer's feed-forward layers", "least": 1},
    "conformer_kernel": {
        "default": 7,
        "help": "kernel size of the Conformer's convolutions, odd",
        "least": 1,
    },
    "conformer_dropout": {"default": 0.1, "help": "dropout of the Conformer", "least": 0, "most": 1},
}


class Token(nn.Linear):
    """Learned vector with the parameters and initialisation of a linear map of the constant 1.

    A plain vector would do; the authors' project (ConformerSED) has such a map.
    """

    no_weight_decay = ("weight",)

    def __init__(self, dim: int) -> None:
        super().__init__(1, dim)

    def forward(self, like: Tensor) -> Tensor:
        """Return the vector for each clip of `like` (batch, ...): (batch, 1, dim)."""
        return (self.weight[:, 0] + self.bias).expand(like.shape[0], 1, -1)  # ONNX export cannot trace len()


class FeedForward(nn.Sequential):
    """Feed-forward layer on (batch, frames, dim): LayerNorm, linear, Swish, linear."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )


class RelativeAttention(nn.Module):
    """Self-attention whose scores are the sum of a content term and a relative position term (Dai et al. 2019).

    As in the original scheme (Transformer-XL), distances are those to past frames: for a frame j up to i, frame i uses
    the position term of distance i - j. For later frames, the position term is what `shifted` happens to leave there,
    as in ConformerSED: 0 for frame i + 1, and for a later frame j the term of frame i + 1 (as query) at distance
    frames + 1 - (j - i).
    """

    no_weight_decay = ("content", "position")

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"conformer_dim {dim} is not a multiple of conformer_heads {heads}")
        self.heads, size = heads, dim // heads
        self.norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.distance = nn.Linear(dim, dim, bias=False)
        # u and v of Dai et al.: biases of the query in the content and the position term
        self.content = nn.Parameter(torch.zeros(heads, size))
        self.position = nn.Parameter(torch.zeros(heads, size))
        self.out = nn.Linear(dim, dim, bias=False)
        self.scale = size**-0.5
        self.drop_weights, self.drop_out = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, distances: Tensor) -> Tensor:
        """Map x (batch, frames, dim) to the same shape.

        `distances` (frames, dim) are the embeddings of the distances frames - 1 to 0.
        """
        query, key, value = (self._split(third) for third in self.query_key_value(self.norm(x)).chunk(3, -1))
        position_key = self.distance(distances).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        by_content = (query + self.content[:, None]) @ key.transpose(-1, -2)
        by_position = shifted((query + self.position[:, None]) @ position_key.transpose(-1, -2))
        weights = self.drop_weights(((by_content + by_position) * self.scale).softmax(-1))
        mixed: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return self.drop_out(mixed)

    def _split(self, x: Tensor) -> Tensor:
        """Map (batch, frames, dim) to (batch, heads, frames, dim / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def shifted(scores: Tensor) -> Tensor:
    """Align scores (..., frames, distances frames - 1 to 0) with frames (..., frames, frames): Transformer-XL's shift.

    Row i is shifted left by frames - 1 - i, so that column j is for distance i - j if j <= i. Columns after i hold a
    0 and then the first scores of row i + 1.
    """
    frames = scores.shape[-1]
    padded = nn.functional.pad(scores, (1, 0))
    return padded.flatten(-2).unflatten(-1, (frames + 1, frames))[..., 1:, :]


class Convolution(nn.Module):
    """Convolution module on (batch, frames, dim).

    It is a LayerNorm, a pointwise convolution with GLU, a depthwise one along time with batch norm and Swish, and a
    pointwise one.
    """

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"conformer_kernel {kernel}: an odd number is expected")
        self.norm = nn.LayerNorm(dim)
        self.spread = nn.Conv1d(dim, 2 * dim, kernel_size=1)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.batch_norm = nn.BatchNorm1d(dim)
        self.mix = nn.Conv1d(dim, dim, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.glu(self.spread(self.norm(x).transpose(1, 2)), dim=1)
        x = nn.functional.silu(self.batch_norm(self.depthwise(x)))
        return self.dropout(self.mix(x).transpose(1, 2))


class Block(nn.Module):
    """Conformer block on (batch, frames, dim); `distances` are those of `RelativeAttention`."""

    def __init__(self, dim: int, *, heads: int, hidden: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.before = FeedForward(dim, hidden, dropout)
        self.attention = RelativeAttention(dim, heads, dropout)
        self.convolution = Convolution(dim, kernel, dropout)
        self.after = FeedForward(dim, hidden, dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, distances: Tensor) -> Tensor:
        x = x + self.before(x) / 2
        x = x + self.attention(x, distances)
        x = x + self.convolution(x)
        normed: Tensor = self.norm(x + self.after(x) / 2)
        return normed


class Conformer(nn.Module):
    """Decoder: a token before the frames, an input layer, and blocks; the token's output is the summary."""

    summarises = True
    places: Tensor
    """position embeddings (1 + output frames, width), sines and cosines interleaved"""
    distances: Tensor
    """embeddings of the distances from the number of output frames to 0 (1 + output frames, width), sines first"""

    def __init__(
        self,
        *,
        dim: int,
        frames: int,
        upsample: int,
        width: int,
        blocks: int,
        heads: int,
        hidden: int,
        kernel: int,
        dropout: float,
    ) -> None:
        # dim: width of the input; self.dim, which `Decoder` asks for: width of the output
        super().__init__()
        self.frames, self.upsample, self.dim = frames, upsample, width
        self.token = Token(dim)
        self.input = nn.Sequential(nn.Linear(dim, width), nn.LayerNorm(width), nn.Dropout(dropout), nn.ReLU())
        self.drop_places = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads=heads, hidden=hidden, kernel=kernel, dropout=dropout) for _ in range(blocks)
        )
        count = 1 + frames * upsample
        sine, cosine = sinusoids(torch.arange(count), width)
        places = torch.stack([sine, cosine], -1).flatten(1)[:, :width]
        self.register_buffer("places", places, persistent=False)
        sine, cosine = sinusoids(torch.arange(count - 1, -1, -1), width)
        self.register_buffer("distances", torch.cat([sine, cosine], -1)[:, :width], persistent=False)

    def forward(self, x: Tensor) -> Decoded:
        """Map (batch, patches, input dim) to hidden (batch, frames * upsample, width) and summary (batch, width)."""
        x = repeated(x[:, : self.frames], self.upsample)
        x = self.input(torch.cat([self.token(x).to(x.dtype), x], 1))
        # Positions are added to the input although attention is relative, and interleaved, as in ConformerSED; times
        # sqrt(width): as Vaswani et al. 2017 scale what they add position embeddings to.
        x = self.drop_places(x * math.sqrt(self.dim) + self.places)
        for block in self.blocks:
            x = block(x, self.distances)
        return Decoded(x[:, 1:], x[:, 0])


def sinusoids(positions: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return sines and cosines (positions, dim / 2 rounded up) of positions, at decreasing frequencies."""
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    angles = positions.float()[:, None] * frequencies
    return angles.sin(), angles.cos()


def build_conformer(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build the Conformer of a flat config.

    Args:
        config: a flat config, whose other keys are ignored.
        dim: width of the encoder.
        frames: frames of the encoder per clip.

    Returns:
        The decoder.

    Raises:
        ValueError: the width is not a multiple of the heads, or the kernel size is even.
    """
    return Conformer(
        dim=dim,
        frames=frames,
        upsample=config["upsample"],
        width=config["conformer_dim"],
        blocks=config["conformer_blocks"],
        heads=config["conformer_heads"],
        hidden=config["conformer_hidden"],
        kernel=config["conformer_kernel"],
        dropout=config["conformer_dropout"],
    )
