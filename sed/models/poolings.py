"""Registry of frequency poolings, from a grid (batch, bands, patches, dim) to frames (batch, patches, dim).

The grid is the encoder's: bands are along frequency, patches along time.

A new pooling is a module with a function that builds it from a config and the encoder (and with `OPTIONS`, if it has
any), and a line of `POOLINGS`. Letters such as (P) name sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from sed.models.encoders import Encoder
from sed.registry import chosen


class Pooling(Protocol):
    """Protocol: a `torch.nn.Module` from a grid (batch, bands, patches, dim) to frames (batch, patches, dim)."""

    def __call__(self, grid: Tensor) -> Tensor: ...


@runtime_checkable
class BandwisePooling(Protocol):
    """Protocol of a pooling whose output is in the bands' space: one band can replace it in a trained detector."""

    def one_band(self, bands: int, band: int) -> Pooling:
        """Return the pooling that selects the band with index `band` of `bands` bands, lowest first.

        Raises:
            ValueError: there is no such band.
        """
        ...


POOLINGS = {
    "mean": "sed.models.poolings:build_mean",
    "fte": "sed.models.frequency_transformer:build_fte",
    "band": "sed.models.poolings:build_band",
}
OPTIONS = {
    "pooling": {"default": "fte", "help": "pooling over frequency bands", "choices": POOLINGS},
    "band": {"default": 0, "help": "index of the band, lowest first (pooling: band)", "least": 0},
}
OPTIONS_FROM = POOLINGS  # the options of all poolings follow (`sed.config.literals`)


class BandPooling(nn.Module):
    """Selection of a single band, lowest first (P: figure 3)."""

    def __init__(self, *, bands: int, band: int) -> None:
        super().__init__()
        if not 0 <= band < bands:
            raise ValueError(f"band {band} is not among the encoder's {bands} bands (0 to {bands - 1})")
        self.band = band

    def forward(self, grid: Tensor) -> Tensor:
        return grid[:, self.band]

    def one_band(self, bands: int, band: int) -> Pooling:
        """See `BandwisePooling`."""
        return BandPooling(bands=bands, band=band)


class MeanPooling(nn.Module):
    """Mean over the bands (P: AST-GRU)."""

    def forward(self, grid: Tensor) -> Tensor:
        return grid.mean(1)

    def one_band(self, bands: int, band: int) -> Pooling:
        """See `BandwisePooling`."""
        return BandPooling(bands=bands, band=band)


def build_mean(_config: Mapping[str, Any], _encoder: Encoder) -> Pooling:
    """Build mean pooling."""
    return MeanPooling()


def build_band(config: Mapping[str, Any], encoder: Encoder) -> Pooling:
    """Build the pooling that selects a config's `band`."""
    return BandPooling(bands=encoder.grid[0], band=config["band"])


def build_pooling(config: Mapping[str, Any], encoder: Encoder) -> Pooling:
    """Build the pooling that a flat config names.

    Raises:
        ValueError: its values are inconsistent.
    """
    pooling: Pooling = chosen(POOLINGS, config["pooling"], "pooling")(config, encoder)
    return pooling
