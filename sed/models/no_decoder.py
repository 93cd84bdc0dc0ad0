"""Absent time decoder, for published heads that were trained directly on the encoder's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sed.models.decoders import Decoded, Decoder, repeated


class NoDecoder(nn.Module):
    """Decoder that only crops to the clip and repeats each frame `upsample` times."""

    def __init__(self, *, dim: int, frames: int, upsample: int) -> None:
        super().__init__()
        self.dim, self.frames, self.upsample = dim, frames, upsample

    def forward(self, x: Tensor) -> Decoded:
        """Map (batch, patches, dim) to hidden (batch, frames * upsample, dim)."""
        return Decoded(repeated(x[:, : self.frames], self.upsample))


def build_no_decoder(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build the absent decoder of a flat config.

    Args:
        config: a flat config, of which `upsample` is used.
        dim: width of the encoder.
        frames: frames of the encoder per clip.

    Returns:
        The decoder.
    """
    return NoDecoder(dim=dim, frames=frames, upsample=config["upsample"])
