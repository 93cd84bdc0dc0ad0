"""Frequency warping: a band of the spectrogram, stretched to all mel bins.

This is the random resized crop of BYOL-A, along frequency only, as in the training of ATST-Frame detectors (C): each
clip keeps a random share of its mel bins at a random position, and the kept ones are interpolated to the full number.
Pitch and timbre change, onsets and offsets do not, so labels stay. Student and teacher get different warps. Letters
such as (C) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

OPTIONS = {
    "warp_probability": {
        "default": 0.0,
        "help": "probability that frequencies of a clip are warped (C: 0.5)",
        "least": 0,
        "most": 1,
    },
    "warp_least": {
        "default": 0.6,
        "help": "smallest share of the mel bins that is stretched to all of them (I: as BYOL-A)",
        "least": 0.05,
        "most": 1,
    },
}


def draw_warps(rng: np.random.Generator, probability: float, least: float, *, clips: int, bins: int) -> np.ndarray:
    """Draw the warps of some clips.

    Args:
        rng: source of random numbers; it is not used if the probability is 0.
        probability: probability that a clip is warped.
        least: smallest share of the bins to keep.
        clips: number of clips.
        bins: number of mel bins.

    Returns:
        The first kept bin, and the step in bins from one new bin to the next (clips, 2) float32; 0 and 1: no warp.
    """
    warps = np.tile(np.array([0, 1], np.float32), (clips, 1))
    if probability > 0:
        warped = rng.random(clips) < probability
        step = rng.uniform(least, 1, clips)
        first = rng.random(clips) * (1 - step) * (bins - 1)
        warps[warped] = np.stack([first, step], 1)[warped]
    return warps


def warp(x: Tensor, warps: Tensor) -> Tensor:
    """Warp the frequencies of clips by linear interpolation between bins.

    Args:
        x: raw log-mel features (clips, time, bins).
        warps: first kept bin and step of each clip (clips, 2).

    Returns:
        Warped features (clips, time, bins).
    """
    bins = x.shape[2]
    at = warps[:, :1] + warps[:, 1:] * torch.arange(bins, device=x.device)
    at = at.clamp(0, bins - 1)  # rounding may exceed the last bin
    low = at.floor().clamp(max=max(bins - 2, 0))  # the lower of two neighbours; a single bin is its own neighbour
    share = (at - low)[:, None]
    index = low.long()[:, None].expand(x.shape)
    return x.gather(2, index) * (1 - share) + x.gather(2, (index + 1).clamp(max=bins - 1)) * share
