"""A bank of one label whose events and background are white noise: mixed by `ISOLATED`, events are where it is loud."""

from __future__ import annotations

import numpy as np

from sed.data.synthesis.signals import RATE, Voice


class Bursts:
    """A soundbank of the label `Burst`, with the interface of `SoundBank`."""

    def __init__(self) -> None:
        self.labels = ["Burst"]

    def has(self, _split: str, label: str) -> bool:
        return label == "Burst"

    def typical_seconds(self, _label: str) -> float:
        return 1.0

    def voice(self, _split: str, _label: str, _rng: np.random.Generator) -> Voice:
        return lambda rng, seconds: rng.normal(size=int(seconds * RATE))

    def background(self, _split: str, rng: np.random.Generator, length: int) -> np.ndarray:
        return rng.normal(size=length)

    def distractor(self, _split: str, _rng: np.random.Generator) -> tuple[str, np.ndarray] | None:
        return None
