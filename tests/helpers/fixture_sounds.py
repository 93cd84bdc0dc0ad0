"""Sounds made of integer arithmetic and sines alone, so that every machine and version of NumPy makes the same."""

from __future__ import annotations

import numpy as np

RATE = 2000
LABELS = ("Tone", "Burst")
WINDOW, SHORT, LONG = (2.0, 426), (1.3, 474), (3.1, 186)
"""(seconds, seed) of the sounds that the models of tests/fixtures were run on

Machines may differ in the last bit of log-mel, which the rounding to float16 may turn into 4e-3. With these seeds all
values within 4e-6 of a rounding boundary together move a posterior by less than 2e-6.
"""


def sound(seconds: float, seed: int) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """Return samples in [-1, 1] float32 at `RATE`, and the (onset, offset, label) of their events.

    Most half seconds hold a tone or a burst of noise, over a quiet floor.
    """
    t = np.arange(round(seconds * RATE)) / RATE
    audio, events = 0.01 * _noise(len(t), seed), []
    rough = _noise(len(t), seed + 100)
    for half in range(int(seconds * 2)):
        kind, onset = (seed + half * (half + seed)) % 3, round(0.5 * half + 0.05, 3)
        if kind == 2:
            continue
        offset = round(onset + 0.2 + 0.02 * ((seed + half) % 5), 3)
        tone = np.sin(2 * np.pi * (300 + 100 * ((seed + half) % 4)) * t)
        audio += ((t >= onset) & (t < offset)) * 0.4 * (tone, rough)[kind]
        events.append((onset, offset, LABELS[kind]))
    return audio.astype(np.float32), events


def _noise(count: int, seed: int) -> np.ndarray:
    """Return numbers that are uniform in [-1, 1), by a linear congruential generator."""
    state, values = seed * 2654435761 + 12345, np.empty(count)
    for i in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        values[i] = state / 2**30 - 1
    return values
