"""Two copies of one recording, compared by their sound: length, level and correlation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sed.data.audio import read_audio

RATE = 16_000  # Hz
SHIFT = 0.1  # seconds that coders and cuts may shift a copy by
SECONDS, DECIBELS, CORRELATION = 0.1, 1.0, 0.9
"""differences of length and level from which copies differ, and the correlation below which they do"""


class Difference(NamedTuple):
    """Excess length (s) and level (dB) of the other copy, and the correlation of both at the best shift."""

    seconds: float
    level: float
    correlation: float

    @property
    def is_large(self) -> bool:
        """Return whether the copies are different recordings, or different sections or levels of one."""
        return not (
            abs(self.seconds) <= SECONDS and abs(self.level) <= DECIBELS and self.correlation >= CORRELATION
        )  # also of what is no number


def compare(one: Path, other: Path) -> Difference:
    """Compare two files.

    Raises:
        UserError: one of them cannot be read.
    """
    first, second = read_audio(one, RATE).astype(np.float64), read_audio(other, RATE).astype(np.float64)
    return Difference((len(second) - len(first)) / RATE, _level(second) - _level(first), _correlation(first, second))


def _level(samples: np.ndarray) -> float:
    return 10 * math.log10(float(np.mean(samples**2)) + 1e-10)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest correlation of two signals within SHIFT; 1 for two that are silent."""
    from scipy.signal import correlate

    energy = math.sqrt(float(np.sum(one**2)) * float(np.sum(other**2)))
    if energy == 0:
        return 1.0 if not one.any() and not other.any() else 0.0
    middle, most = len(other) - 1, round(SHIFT * RATE)
    products = correlate(one, other, mode="full", method="fft")
    return float(products[max(0, middle - most) : middle + most + 1].max() / energy)
