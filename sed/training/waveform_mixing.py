"""Waveform mixing: two clips played at once, with the union of their labels.

Features are dumped before training, so there are no waveforms to add. The sum of two independent waveforms has, in
expectation, the sum of their powers, and a mel bin is a sum of powers (with `power` 1 of magnitudes, for which this is
an approximation): features are mixed by adding powers. This leaves out the interference of clips that are loud in the
same bin, which has mean 0. Unlabelled clips, which have no labels to unite, are not mixed in this way. Mixup
(`sed.training.augment`) instead adds amplitudes and weights the labels. Letters such as (C) name sources: see
egs/desed/README.md.
"""

from __future__ import annotations

import numpy as np

OPTIONS = {
    "wavmix_probability": {
        "default": 0.0,
        "help": "probability that a strong or weak clip is mixed like waveforms, by powers, not by mixup (C, S: 0.5)",
        "least": 0,
        "most": 1,
    },
    "wavmix_decibels": {
        "default": 5.0,
        "help": "largest gain or attenuation of the other clip, relative to the first, dB (I)",
        "least": 0,
    },
}


def draw_levels(
    rng: np.random.Generator, probability: float, decibels: float, *, clips: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw which clips are mixed as waveforms, and at which level.

    The powers of a mixture are weighted by shares that sum to 1, so that mixing two equally loud clips does not change
    the level.

    Args:
        rng: source of random numbers; it is not used if the probability is 0.
        probability: probability that a clip is mixed.
        decibels: largest gain or attenuation of the other clip, dB.
        clips: number of clips.

    Returns:
        Whether each clip is mixed (clips,) bool, and the weight of its power in the mixture (clips,) float32, which
        has no meaning if it is not mixed.
    """
    if probability == 0:
        return np.zeros(clips, bool), np.ones(clips, np.float32)
    mixed = rng.random(clips) < probability
    other = 10 ** (rng.uniform(-decibels, decibels, clips) / 10)
    return mixed, (1 / (1 + other)).astype(np.float32)
