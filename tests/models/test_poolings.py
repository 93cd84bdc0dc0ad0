"""Every pooling of the registry, and which of them can be replaced by a single band."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sed.models.encoders import build_encoder
from sed.models.poolings import POOLINGS, BandPooling, BandwisePooling, MeanPooling, build_pooling


def test_the_mean_is_over_bands_and_a_band_is_that_of_its_index() -> None:
    grid = torch.randn(2, 12, 5, 8)
    torch.testing.assert_close(MeanPooling()(grid), torch.stack(grid.unbind(1)).mean(0))
    assert torch.equal(BandPooling(bands=12, band=11)(grid), grid[:, -1])
    with pytest.raises(ValueError, match="12 bands"):
        BandPooling(bands=12, band=12)


@pytest.mark.parametrize("name", POOLINGS)
def test_every_pooling_maps_a_grid_to_frames(small: Callable[..., dict[str, Any]], name: str) -> None:
    config = small(pooling=name, band=1)
    encoder = build_encoder(config)
    bands, patches = encoder.grid
    grid = torch.randn(2, bands, patches, encoder.dim)
    pooling = build_pooling(config, encoder)
    frames = pooling(grid)
    assert frames.shape == (2, patches, encoder.dim)
    changed = grid.clone()
    changed[:, :, 3] = 1.0
    moved = (pooling(changed) - frames).abs().amax((0, 2)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [3], "a frame is of its own time step alone"
    if isinstance(pooling, BandwisePooling):
        assert torch.equal(pooling.one_band(bands, 2)(grid), grid[:, 2])


def test_an_unknown_name_is_refused(small: Callable[..., dict[str, Any]]) -> None:
    config = small()
    with pytest.raises(ValueError, match=r"pooling 'median' is not known \(mean, fte, band"):
        build_pooling({**config, "pooling": "median"}, build_encoder(config))
