"""What stands after a clip's end, where the model's input is longer than the clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Padding(NamedTuple):
    """When a clip is padded, and with what."""

    first: bool
    """before the normaliser, or zeros after it"""
    silent: bool = False
    """with the front end's silence instead of 0; a clip's statistics include it, as if the waveform had been padded"""


PADDINGS = {
    "raw": Padding(first=True),  # the AST release, Transformer4SED, DCASE's 2022 recipe: what published weights saw
    "silence": Padding(first=True, silent=True),  # DESED_task, which pads the waveform
    "normalised": Padding(first=False),
}


def normalised(
    x: Tensor,
    valid: Tensor | None,
    frames: int,
    padding: Padding,
    *,
    silence: float,
    normaliser: Callable[[Tensor, Tensor | None], Tensor],
) -> Tensor:
    """Normalise and pad a batch of raw log-mel.

    Args:
        x: (batch, any frames, bins) float32.
        valid: each clip's frames (batch,); None: all of `x`.
        frames: that come out; what is longer is cut.
        padding: one of `PADDINGS`.
        silence: raw log-mel of silence.
        normaliser: of (x, which frames are the clip's (batch, frames, 1); None: all).

    Returns:
        (batch, frames, bins) float32.
    """
    there = min(x.shape[1], frames)
    x = nn.functional.pad(x[:, :there], (0, 0, 0, frames - there))
    if valid is None:
        valid = torch.full((1,), there, device=x.device)
    inside = (torch.arange(frames, device=x.device) < valid.to(x.device).unsqueeze(1)).unsqueeze(2)
    if padding.first:
        x = x.masked_fill(~inside, silence if padding.silent else 0.0)
    x = normaliser(x, None if padding.silent else inside)
    return x if padding.first else x.masked_fill(~inside, 0.0)
