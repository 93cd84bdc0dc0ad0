"""Normalisers: raw log-mel to a model's input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def fixed(x: Tensor, inside: Tensor | None, settings: Mapping[str, Any]) -> Tensor:  # noqa: ARG001 (alike)
    """(x - norm_mean) / (2 norm_std), as the AST release does.

    Args:
        x: Raw log-mel (batch, frames, bins) float32.
        inside: Which frames are the clip's (batch, frames, 1); None: all.
        settings: The front end's.
    """
    return (x - settings["norm_mean"]) / (2 * settings["norm_std"])


def minmax(x: Tensor, inside: Tensor | None, settings: Mapping[str, Any]) -> Tensor:  # noqa: ARG001 (alike)
    """Each clip to 0..1 by its own frames; arguments as those of `fixed`."""
    low = x if inside is None else x.masked_fill(~inside, math.inf)
    high = x if inside is None else x.masked_fill(~inside, -math.inf)
    low, high = low.amin((1, 2), keepdim=True), high.amax((1, 2), keepdim=True)
    return (x - low) / (high - low + 1e-8)
