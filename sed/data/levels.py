"""Levels of dumped sets from their features: sets of one corpus may come from different sources."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sed.data.statistics import sampled
from sed.data.store import FeatureStore

CLIPS = 100
"""clips per set that are measured, evenly spaced"""
LARGEST = 10.0
"""dB between sets of one corpus; larger differences give a warning. DESED's synthetic clips are some 20 dB quieter than
its recordings, which is more than a standard deviation of all features."""


def level(store: FeatureStore, decibel: float) -> float:
    """Return a set's level: the median of its clips', each the mean power over its frames and mel bins.

    Args:
        store: the set's features.
        decibel: one decibel in their units.

    Returns:
        Decibels over a reference that only the front end knows.
    """
    levels = [10 * np.log10(np.mean(10 ** (x / decibel / 10))) for x in sampled([store], CLIPS)]
    return float(np.median(levels))


def spread(levels: Mapping[str, float]) -> str | None:
    """Return how sets differ in level, loudest first: "weak 0, synth -21 dB"; None up to `LARGEST` decibels."""
    loudest = max(levels.values())
    if loudest - min(levels.values()) <= LARGEST:
        return None
    order = sorted(levels, key=lambda name: -levels[name])
    return ", ".join(f"{name} {levels[name] - loudest:.0f}" for name in order).replace(" -0", " 0") + " dB"
