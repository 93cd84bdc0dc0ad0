"""Padding of clips that are shorter than the model's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Padding(NamedTuple):
    """Position of the padding relative to the normaliser, and its value."""

    first: bool
    """True: pad before the normaliser; False: zeros after it"""
    silent: bool = False
    """pad with the front end's silence instead of 0, and include it in a clip's statistics, as if its waveform were
    padded"""


PADDINGS = {
    # The published AST and Transformer4SED pad features this way, and so does DESED_task for its AST, whose input of
    # 10.24 s is longer than a clip of 10 s (L and D of egs/desed/README.md).
    "raw": Padding(first=True),
    # DESED_task pads the waveforms of its CRNN.
    "silence": Padding(first=True, silent=True),
    "normalised": Padding(first=False),  # as models of earlier versions of this project were trained
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
        x: (batch, any number of frames, bins) float32.
        valid: number of valid frames of each clip (batch,); None: all.
        frames: number of frames to return; longer input is cut.
        padding: one of `PADDINGS`.
        silence: raw feature value of silence.
        normaliser: called with the batch, and True for the frames of the clips (batch or 1, frames, 1) or None for all.

    Returns:
        (batch, frames, bins) float32.
    """
    available = min(x.shape[1], frames)
    x = nn.functional.pad(x[:, :available], (0, 0, 0, frames - available))
    if valid is None:
        valid = torch.full((1,), available, device=x.device)
    inside = (torch.arange(frames, device=x.device) < valid.to(x.device).unsqueeze(1)).unsqueeze(2)
    if padding.first:
        x = x.masked_fill(~inside, silence if padding.silent else 0.0)
    x = normaliser(x, None if padding.silent else inside)
    return x if padding.first else x.masked_fill(~inside, 0.0)
