"""Units of raw log-mel, derived from the settings of the logarithm, in a module that does not need torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

QUIETEST = 1e-3
"""amplitude of -60 dBFS: a clip with a lower peak is noise, which peak normalisation must not amplify to full scale"""


def clamps(settings: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lower and the upper limit of features by a front end's resolved settings (infinite without `clamp`).

    Raises:
        ValueError: `clamp` is not two numbers, the lower first, or none.
    """
    if settings["clamp"] == "none":
        return -math.inf, math.inf
    try:
        low, high = map(float, str(settings["clamp"]).split(","))
    except ValueError:
        low = high = math.nan
    if not low < high:
        raise ValueError(f"clamp '{settings['clamp']}' is not two numbers, the lower first, or none")
    return low, high


def decibel(settings: Mapping[str, Any]) -> float:
    """Return how much features rise per decibel of the waveform's level."""
    return 1.0 if settings["log"] == "db" else settings["power"] * math.log(10) / 20


def silence(settings: Mapping[str, Any]) -> float:
    """Return the feature value of silence: the floor of the logarithm, within the limits."""
    floor = settings["log_floor"]
    value = math.log(floor) if settings["log"] == "ln" else 20 / settings["power"] * math.log10(floor)
    return min(max(value, clamps(settings)[0]), clamps(settings)[1])
