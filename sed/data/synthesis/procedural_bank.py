"""A soundbank without recordings: synthetic sounds of DESED's ten labels, backgrounds and distractors.

A source (one dog, one blender) is a function with drawn parameters; training and validation draw theirs from different
seeds. The ranges of the parameters are plausible values, not measured on recordings. In the families below, frequencies
are in Hz, rates per second, and decays, the times after which an exponential has fallen to 1/e, in samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from sed.data.synthesis.signals import BINS, RATE, Voice, band, lerp, noise, partials, samples, scatter, shape, wander
from sed.data.synthesis.sound_families import FAMILIES

Generator = np.random.Generator


class ProceduralBank:
    """Procedural sounds, from `sources` sources per label and split; same interface as `soundbank.SoundBank`."""

    def __init__(self, *, seed: int, sources: int = 80) -> None:
        self.labels = sorted(FAMILIES)
        self._seed = seed
        self._sources = sources

    def has(self, split: str, label: str) -> bool:  # noqa: ARG002 (the interface)
        """Return whether `split` has sounds of `label`."""
        return label in FAMILIES

    def typical_seconds(self, label: str) -> float:  # noqa: ARG002 (the interface)
        """Return 1 second; it is not used, since DESED's labels have their statistics in `soundscape.PROFILES`."""
        return 1.0

    def voice(self, split: str, label: str, rng: Generator) -> Voice:
        """Return a source of `label`.

        Args:
            split: train or validation; their sources differ.
            label: the class.
            rng: chooses the source.

        Returns:
            A function that renders sounds of the source.
        """
        return self._source(split, label, FAMILIES[label], rng)

    def background(self, split: str, rng: Generator, length: int) -> np.ndarray:
        """Return a steady background of one of the sources of `split`.

        Args:
            split: train or validation.
            rng: chooses the source.
            length: samples.

        Returns:
            (length,) samples.
        """
        return self._source(split, "background", backdrop, rng)(rng, length / RATE)[:length]

    def distractor(self, split: str, rng: Generator) -> tuple[str, np.ndarray] | None:
        """Return a sound (kind, waveform) of none of the labels."""
        kind = sorted(DISTRACTORS)[int(rng.integers(len(DISTRACTORS)))]
        return kind, self._source(split, kind, DISTRACTORS[kind], rng)(rng, float(rng.uniform(0.3, 2.5)))

    def _source(self, split: str, name: str, family: Callable[[Generator], Voice], rng: Generator) -> Voice:
        number = int(rng.integers(self._sources))
        return family(np.random.default_rng([self._seed, zlib.crc32(f"{split}/{name}".encode()), number]))


def backdrop(source: Generator) -> Voice:
    """Make the background of a room: slowly varying coloured noise, mains hum, in some rooms a low machine.

    Only their levels relative to each other matter: a soundscape scales the sum.
    """
    colour, hum, sway = source.uniform(0.3, 1.6), source.uniform(0, 0.5) ** 2, source.uniform(0.02, 0.3)
    mains, machine = float(source.choice([50.0, 60.0])), source.uniform(0, 0.4) * (source.random() < 0.4)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        # gain of each bin: frequency ** -colour, 1 at 500 Hz; constant below 50 Hz, and at most 6
        tint = (np.maximum(BINS[None], 50) / 500) ** -colour
        hiss = shape(noise(rng, length), np.minimum(tint, 6.0)) * wander(rng, length, spread=sway, per_second=0.7)
        tone = partials(np.full(length, mains), [1, 2, 3, 5], [1, 0.8, 0.4, 0.2]) * hum
        if machine:
            low = shape(noise(rng, length), band(60, 220)) * wander(rng, length, spread=0.1, per_second=20)
            return hiss + tone + 4 * machine * low
        return hiss + tone

    return voice


def knock(source: Generator) -> Voice:
    """Make dull thuds on wood, or footsteps, `rate` per second in the octave above `low`."""
    low, rate = source.uniform(70, 260), source.uniform(1.5, 6)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        size = samples(0.12)
        thud = shape(noise(rng, size), band(low, low * 2)) * np.exp(-np.arange(size) / 500)
        starts = np.arange(0, length, samples(1 / rate))
        return scatter(np.zeros(length), [thud * rng.uniform(0.6, 1) for _ in starts], starts)

    return voice


def bird(source: Generator) -> Voice:
    """Make chirps: fast sweeps around `pitch` by up to the fraction `depth`."""
    pitch, depth = source.uniform(3000, 5500), source.uniform(0.1, 0.35)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        out = np.zeros(length)
        start = 0
        while start < length:
            size = samples(rng.uniform(0.03, 0.12))
            sweep = pitch * (1 + depth * lerp(size, rng.uniform(-1, 1, 3)))
            scatter(out, [partials(sweep, [1], [1]) * np.hanning(size)], [start])
            start += size + samples(rng.uniform(0.02, 0.15))
        return out

    return voice


def clap(source: Generator) -> Voice:
    """Make claps and typing: dry bursts of noise."""
    low, decay = source.uniform(700, 2200), source.uniform(60, 220)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        starts = np.cumsum(np.append(0, rng.integers(1500, 6000, int(seconds * 6))))  # 0.1 to 0.4 s apart
        starts = starts[starts < length]
        size = samples(0.08)
        pieces = [shape(noise(rng, size), band(low, 2 * low)) * np.exp(-np.arange(size) / decay) for _ in starts]
        return scatter(np.zeros(length), pieces, starts)

    return voice


def music(source: Generator) -> Voice:
    """Make plucked notes of a major scale, `tempo` per second."""
    root, tempo = source.uniform(110, 440), source.uniform(2, 6)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds)
        starts = np.arange(0, length, samples(1 / tempo))
        size = samples(0.6)
        fade = np.exp(-np.arange(size) / 3000)
        notes = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 12], len(starts)) / 12)  # semitones above the root
        pieces = [partials(np.full(size, note), range(1, 7), 0.7 ** np.arange(6)) * fade for note in notes]
        return scatter(np.zeros(length), pieces, starts)

    return voice


def passing(source: Generator) -> Voice:
    """Make a passing car: a low rumble that grows louder and fades; above half its peak amplitude for `seconds`."""
    high = source.uniform(200, 700)

    def voice(rng: Generator, seconds: float) -> np.ndarray:
        length = samples(seconds * 2)
        return shape(noise(rng, length), band(60, high)) * np.hanning(length)

    return voice


DISTRACTORS: dict[str, Callable[[Generator], Voice]] = {
    "bird": bird,
    "clap": clap,
    "knock": knock,
    "music": music,
    "passing": passing,
}
