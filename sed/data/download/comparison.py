"""Comparison of two copies of one recording by their waveforms: length, level and correlation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sed.data.audio import read_audio

RATE = 16_000  # Hz at which copies are compared
SHIFT = 0.1  # seconds by which encoding and cutting may shift a copy
SECONDS, DECIBELS, CORRELATION = 0.1, 1.0, 0.9
"""largest differences of length and level, and smallest correlation, of copies that count as equal"""


class Difference(NamedTuple):
    """Differences of another copy from the first one."""

    seconds: float
    """length of the other copy minus that of the first"""
    level: float
    """mean level of the other copy minus that of the first, dB"""
    correlation: float
    """normalised cross-correlation at the best shift"""

    @property
    def is_large(self) -> bool:
        """True if the copies are different recordings, or different sections or levels of one; also for NaN."""
        return not (abs(self.seconds) <= SECONDS and abs(self.level) <= DECIBELS and self.correlation >= CORRELATION)


def compare(one: Path, other: Path) -> Difference:
    """Compare two files.

    Raises:
        UserError: one of them cannot be read.
    """
    first, second = read_audio(one, RATE).astype(np.float64), read_audio(other, RATE).astype(np.float64)
    return Difference((len(second) - len(first)) / RATE, _level(second) - _level(first), _correlation(first, second))


def _level(samples: np.ndarray) -> float:
    """Return the mean level in dB relative to full scale, at least -100."""
    return 10 * math.log10(float(np.mean(samples**2)) + 1e-10)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest normalised cross-correlation of two signals for shifts up to SHIFT; 1 if both are silent."""
    from scipy.signal import correlate

    energy = math.sqrt(float(np.sum(one**2)) * float(np.sum(other**2)))
    if energy == 0:
        return 1.0 if not one.any() and not other.any() else 0.0
    unshifted, largest_shift = len(other) - 1, round(SHIFT * RATE)  # index in `products`, and samples
    products = correlate(one, other, mode="full", method="fft")
    return float(products[max(0, unshifted - largest_shift) : unshifted + largest_shift + 1].max() / energy)
