"""No time decoder: the encoder's frames as they are, for heads that were trained right on an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sed.models.decoders import Decoded, Decoder, repeated


class NoDecoder(nn.Module):
    """Crop to the clip, repeat each frame `upsample` times."""

    def __init__(self, *, dim: int, frames: int, upsample: int) -> None:
        super().__init__()
        self.dim, self.frames, self.upsample = dim, frames, upsample

    def forward(self, x: Tensor) -> Decoded:
        """Map (batch, patches, dim) to hidden (batch, frames * upsample, dim)."""
        return Decoded(repeated(x[:, : self.frames], self.upsample))


def build_no_decoder(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build it.

    Args:
        config: A flat config, of which `upsample` is read.
        dim: Width of its input, the encoder's.
        frames: Frames of the encoder in a clip.

    Returns:
        The decoder.
    """
    return NoDecoder(dim=dim, frames=frames, upsample=config["upsample"])
