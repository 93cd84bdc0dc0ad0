"""Resampled posteriors compared with a numerical integral; properties of the grid."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sed.data.resampling import finest_grid, resampled


@pytest.mark.parametrize(
    "seconds, count, wanted, frames",
    [
        *((0.04, 10, 0.01, 40), (0.016, 25, 0.04, 10), (0.03, 7, 0.02, 10)),
        *((0.016, 1600, 0.01, 2560), (0.01, 4100, 0.04, 1025), (0.064, 300, 0.01, 2001)),  # in several blocks
    ],
)
def test_a_new_frame_has_the_mean_over_its_span(seconds: float, count: int, wanted: float, frames: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3, count, 2), dtype=np.float32)
    found = resampled(values, seconds, wanted, frames)
    # the step function at 40 instants in each new frame; its last value continues
    instants = (np.arange(frames * 40) + 0.5) * wanted / 40
    rows = np.minimum((instants / seconds).astype(int), count - 1)
    expected = values[:, rows].reshape(3, frames, 40, 2).mean(2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if count * seconds == pytest.approx(frames * wanted):
        np.testing.assert_allclose(found.mean(1), values.mean(1), atol=1e-6)


def test_whole_multiples_are_exact_and_a_constant_stays() -> None:
    values = np.random.default_rng(1).random((2, 6, 3), dtype=np.float32)
    np.testing.assert_array_equal(resampled(values, 0.04, 0.01, 24), values.repeat(4, axis=1))
    assert resampled(values, 0.04, 0.04, 6) is values
    ones = resampled(np.ones((1, 156, 1), np.float32), 0.064, 0.01, 1000)
    assert ones.max() <= 1 and ones.min() > 1 - 1e-6


def test_a_long_recording_takes_little_more_memory_than_its_posteriors() -> None:
    """Once, memory grew with the square of the length: half an hour in frames of 10 ms did not fit."""
    values = np.random.default_rng(2).random((1, 2500, 1), dtype=np.float32)
    tracemalloc.start()
    try:
        found = resampled(values, 0.04, 0.01, 10_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, values.repeat(4, axis=1))
    assert peak < 20e6


def test_the_finest_grid_ends_less_than_a_frame_before_the_longest_system() -> None:
    assert finest_grid([(0.04, 250), (0.01, 1000)]) == (0.01, 1000)
    assert finest_grid([(0.064, 156), (0.04, 250)]) == (0.04, 250)
    assert finest_grid([(0.064, 157), (0.04, 250)]) == (0.04, 251)  # 10.04 of 10.048 s
    for count in (500, 501):  # round() takes halves to the even number
        assert finest_grid([(0.02, count)]) == (0.02, count)
