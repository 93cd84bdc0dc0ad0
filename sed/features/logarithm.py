"""Logarithm of mel spectra, with its floor, and the limits of the result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sed.features.units import clamps


def logarithm(mel: Tensor, settings: Mapping[str, Any], inside: Tensor | None = None) -> Tensor:
    """Compute log-mel features, in natural logarithm or decibels.

    Args:
        mel: mel spectra of magnitudes (`power` 1) or powers (2) (..., frames, bins).
        settings: resolved settings of the front end.
        inside: True for the frames of the clip (..., frames, 1), to whose maximum `top_db` is relative; None: all.

    Returns:
        (..., frames, bins).
    """
    floor = settings["log_floor"]
    x = mel + floor if settings["log_floor_by"] == "add" else mel.clamp_min(floor)
    x = x.log() if settings["log"] == "ln" else x.log10() * (20.0 / settings["power"])  # dB: 20 log10 of magnitudes
    if settings["top_db"]:
        in_clip = x if inside is None else x.masked_fill(~inside, -math.inf)
        x = x.maximum(in_clip.amax((-2, -1), keepdim=True) - settings["top_db"])
    return x if settings["clamp"] == "none" else x.clamp(*clamps(settings))
