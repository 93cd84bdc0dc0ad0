"""Normalisers of raw log-mel for a model's input. Each is a module, constructed with a front end's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError


class Unchanged(nn.Module):
    """Normaliser that changes nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:  # noqa: ARG002 (one signature for all)
        super().__init__()

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:  # noqa: ARG002 (one signature for all)
        """Return `x`; arguments as those of `Fixed`."""
        return x


class Fixed(nn.Module):
    """Normaliser of the AST release, (x - norm_mean) / (2 norm_std): on AudioSet, mean 0 and standard deviation 0.5."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._mean, self._scale = settings["norm_mean"], 2 * settings["norm_std"]

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:  # noqa: ARG002 (one signature for all)
        """Normalise a batch.

        Args:
            x: raw log-mel (batch, frames, bins) float32.
            inside: True for the frames of the clip (batch or 1, frames, 1); None: all.

        Returns:
            (batch, frames, bins); frames outside of the clip are normalised, too, but a normaliser that computes
            statistics of the clip (`MinMax`) leaves them out of these.
        """
        return (x - self._mean) / self._scale


class MinMax(nn.Module):
    """Normaliser of each clip to 0..1, by its minimum and maximum."""

    over: tuple[int, ...] = (1, 2)
    """dimensions that the limits are taken over: frames and bins"""

    def __init__(self, settings: Mapping[str, Any]) -> None:  # noqa: ARG002 (one signature for all)
        super().__init__()

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:
        """Normalise a batch; arguments as those of `Fixed`."""
        low = x if inside is None else x.masked_fill(~inside, math.inf)
        high = x if inside is None else x.masked_fill(~inside, -math.inf)
        low, high = low.amin(self.over, keepdim=True), high.amax(self.over, keepdim=True)
        return (x - low) / (high - low + 1e-8)  # no division by 0 in a constant clip


class MinMaxOfBins(MinMax):
    """Normaliser of each mel bin of each clip to 0..1.

    FDY-SED takes the limits over all clips of a batch; per clip is our choice, so that no clip affects another.
    """

    over = (1,)


class Bins(nn.Module):
    """Normaliser of each mel bin by its mean and standard deviation in the training sets.

    The setting `norm_bins` is text: the means of all bins, then their standard deviations, separated by commas. Without
    it, `known` is False, and `forward` raises UserError.
    """

    mean: Tensor
    """(bins,)"""
    deviation: Tensor
    """(bins,)"""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        try:
            values = [float(value) for value in settings["norm_bins"].split(",") if settings["norm_bins"]]
        except ValueError:
            values = [math.nan]  # refused below
        bins, known = settings["mel_bins"], bool(values)
        stored = torch.tensor(values if known else [0.0] * bins + [1.0] * bins, dtype=torch.float32)
        if len(stored) != 2 * bins or not stored.isfinite().all() or stored[bins:].min() <= 0:
            raise ValueError(f"norm_bins is not {bins} means and {bins} standard deviations above 0")
        self.known = known
        self.register_buffer("mean", stored[:bins].clone(), persistent=False)
        self.register_buffer("deviation", stored[bins:].clone(), persistent=False)

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:  # noqa: ARG002 (one signature for all)
        """Normalise a batch; arguments as those of `Fixed`."""
        if not self.known:
            raise UserError("normaliser bins: no statistics (give norm_bins; training computes them from its sets)")
        return (x - self.mean) / self.deviation
