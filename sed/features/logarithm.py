"""From what a mel bank sums to log-mel: the floor, the logarithm, and limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sed.features.units import clamps


def logarithm(mel: Tensor, settings: Mapping[str, Any], inside: Tensor | None = None) -> Tensor:
    """Return log-mel, natural or in decibels.

    Args:
        mel: (..., frames, bins).
        settings: the front end's, resolved.
        inside: frames that are the clip's (..., frames, 1), whose peak `top_db` counts from; None: all.
    """
    floor = settings["log_floor"]
    x = mel + floor if settings["log_floor_by"] == "add" else mel.clamp_min(floor)
    x = x.log() if settings["log"] == "ln" else x.log10() * (20.0 / settings["power"])
    if settings["top_db"]:
        heard = x if inside is None else x.masked_fill(~inside, -math.inf)
        x = x.maximum(heard.amax((-2, -1), keepdim=True) - settings["top_db"])
    return x if settings["clamp"] == "none" else x.clamp(*clamps(settings))
