"""Levels of dumped sets: the power of their features in dB.

They show whether a corpus's sets come from sources of different loudness.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sed.data.statistics import sampled
from sed.data.store import FeatureStore

CLIPS = 100
"""clips per set that are measured at most, evenly spaced"""
LARGEST = 10.0
"""dB between sets of one corpus (our choice); larger differences give a warning. DESED's synthetic clips are about
20 dB quieter than its recordings."""


def level(store: FeatureStore, decibel: float) -> float:
    """Return a set's level: the median over at most CLIPS clips of a clip's mean power over its frames and mel bins.

    Args:
        store: the set's log-mel features.
        decibel: one decibel in the features' unit (0.23 if that is the natural logarithm of power).

    Returns:
        Decibels relative to the front end's unit of power; only differences between sets are meaningful.
    """
    levels = [10 * np.log10(np.mean(10 ** (x / decibel / 10))) for x in sampled([store], CLIPS)]
    return float(np.median(levels))


def spread(levels: Mapping[str, float]) -> str | None:
    """Return the sets' levels relative to the loudest as text: "weak 0, synth -21 dB".

    Return None if they differ by at most LARGEST.
    """
    loudest = max(levels.values())
    if loudest - min(levels.values()) <= LARGEST:
        return None
    order = sorted(levels, key=lambda name: -levels[name])
    return ", ".join(f"{name} {levels[name] - loudest:.0f}" for name in order).replace(" -0", " 0") + " dB"
