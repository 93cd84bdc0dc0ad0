"""Soundscapes: clips of events, distractors and a background in a room, with their annotation.

The number of labels in a clip, and the number and length of their events, follow DESED's validation annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sed.data.synthesis.signals import BINS, RATE, Voice, level, reverberate, room, samples, shape
from sed.data.tables import Event

Generator = np.random.Generator


class Bank(Protocol):
    """Source of sounds: `ProceduralBank` or `SoundBank`."""

    labels: list[str]

    def has(self, split: str, label: str) -> bool:
        """Return whether `split` has sounds of `label`."""
        ...

    def typical_seconds(self, label: str) -> float:
        """Return the typical length of a label's sounds in seconds."""
        ...

    def voice(self, split: str, label: str, rng: Generator) -> Voice:
        """Return the voice of a source (such as one dog) of a label.

        Args:
            split: train or validation; their sources differ.
            label: the class.
            rng: chooses the source.

        Returns:
            A function that renders sounds of the source (`Voice` says of which length).
        """
        ...

    def background(self, split: str, rng: Generator, length: int) -> np.ndarray:
        """Return a steady background.

        Args:
            split: train or validation.
            rng: chooses the source.
            length: samples.

        Returns:
            (length,) samples.
        """
        ...

    def distractor(self, split: str, rng: Generator) -> tuple[str, np.ndarray] | None:
        """Return (name, waveform) of a sound that has none of the labels; None if the bank has no distractors."""
        ...


class Profile(NamedTuple):
    """Statistics of a label."""

    share: float
    """weight with which it is drawn for a clip"""
    events: float
    """mean number of events in a clip that has the label"""
    median: float
    """median length of its events in seconds"""
    spread: float
    """standard deviation of the natural logarithm of the length"""
    full: float = 0.0
    """fraction of the clips with the label that one event fills from end to end"""


# Shares, numbers of events and the medians below 5 s are counted on DESED's validation annotations (1168 clips). A
# share is the square root of the number of clips with the label, so that rare labels of a small corpus have enough
# events to learn from and to score. The three other medians (9.9 to 10 s there), all spreads (0.50 to 1.03 there) and
# all fractions `full` (up to 0.69 there) are smaller than counted: a length drawn beyond the clip's is cut to it
# (`place`), which adds to the events that fill a clip.
PROFILES = {
    "Alarm_bell_ringing": Profile(187**0.5, 2.2, 1.0, 0.95, 0.03),
    "Blender": Profile(80**0.5, 1.2, 4.7, 0.7, 0.15),
    "Cat": Profile(121**0.5, 2.8, 0.85, 0.65),
    "Dishes": Profile(171**0.5, 3.3, 0.4, 0.55),
    "Dog": Profile(160**0.5, 3.6, 0.75, 0.75),
    "Electric_shaver_toothbrush": Profile(62**0.5, 1.0, 6.5, 0.5, 0.35),
    "Frying": Profile(89**0.5, 1.1, 7.0, 0.4, 0.5),
    "Running_water": Profile(197**0.5, 1.2, 4.8, 0.65, 0.12),
    "Speech": Profile(627**0.5, 2.8, 1.15, 0.65),
    "Vacuum_cleaner": Profile(91**0.5, 1.0, 7.5, 0.35, 0.45),
}
LABEL_COUNTS = {0: 15, 1: 597, 2: 482, 3: 74}
"""number of labels in a clip (3: three or four) -> number of such clips in DESED's validation set"""
SHORTEST = 0.25
"""seconds; shortest length that is drawn for an event"""
GAP = 0.15
"""seconds; least distance between events of one label in a clip"""
TRIES = 12
"""draws of an event's onset, after which an event that is still too near to others of its label is left out"""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Parameters for mixing the clips of a set; pairs are the bounds of a uniform draw per clip (`wet`: per label)."""

    snr: tuple[float, float]
    """level of an event's loudest tenth of a second above the background's mean level, dB"""
    vary: float
    """standard deviation of that level between a clip's labels, dB; half of it between events of one label"""
    distractors: float
    """mean number of distractors per clip"""
    reverberation: tuple[float, float]
    """reverberation time (decay by 60 dB), s"""
    wet: tuple[float, float]
    """energy of all reflections relative to the direct sound"""
    top: tuple[float, float]
    """cut-off frequency of the recording, Hz; from 7900 Hz on it is not filtered"""
    peak: tuple[float, float]
    """level of the loudest sample relative to full scale, dB"""


# Mixings chosen by hand: `REAL` for the sets that are real recordings in DESED, `SYNTHETIC` for its synthetic ones,
# `ISOLATED` for single sounds to pre-train a tagger on.
REAL = Mixing(
    snr=(10, 30),
    vary=2.0,
    distractors=0.4,
    reverberation=(0.15, 0.5),
    wet=(0.02, 0.3),
    top=(5000, 8000),
    peak=(-14, -1),
)
SYNTHETIC = Mixing(
    snr=(12, 34), vary=1.5, distractors=0.1, reverberation=(0.1, 0.3), wet=(0.01, 0.1), top=(7900, 8000), peak=(-8, -1)
)
ISOLATED = Mixing(
    snr=(14, 36), vary=2.0, distractors=0.0, reverberation=(0.1, 0.4), wet=(0.01, 0.2), top=(5000, 8000), peak=(-14, -1)
)


def soundscape(
    bank: Bank, split: str, mixing: Mixing, rng: Generator, *, seconds: float = 10.0, labels: list[str] | None = None
) -> tuple[np.ndarray, list[Event]]:
    """Mix a clip.

    Args:
        bank: the source of sounds.
        split: train or validation.
        mixing: levels, reverberation and distractors.
        rng: random numbers.
        seconds: length of the clip.
        labels: labels of the clip; None: they are drawn.

    Returns:
        The clip (samples,) float32 at 16 kHz, and its events in order.
    """
    length = samples(seconds)
    drawn = draw_labels(bank, split, rng) if labels is None else labels
    clip = level(bank.background(split, rng, length)) * 0.5  # any level will do: `finished` scales the clip
    rms = float(np.sqrt(np.mean(clip**2))) or 1.0  # root mean square of the background; 1 if it is silent
    reverberation = float(rng.uniform(*mixing.reverberation))
    base = float(rng.uniform(*mixing.snr))
    events: list[Event] = []
    for label in drawn:
        track = np.zeros(length)
        loudness = base + float(rng.normal(0, mixing.vary))
        for onset, sound in place(bank, split, label, rng, seconds):
            gain = rms * 10 ** ((loudness + float(rng.normal(0, mixing.vary / 2))) / 20)
            first = max(0, -onset)
            part = sound[first : first + length - max(0, onset)]
            start = max(0, onset)
            track[start : start + len(part)] += gain * part
            events.append(Event(round(start / RATE, 3), round((start + len(part)) / RATE, 3), label))
        clip += reverberate(track, room(rng, reverberation, wet=float(rng.uniform(*mixing.wet))))
    add_distractors(clip, bank, split, mixing, rng, rms)
    return finished(clip, mixing, rng), sorted(events)


def add_distractors(clip: np.ndarray, bank: Bank, split: str, mixing: Mixing, rng: Generator, rms: float) -> None:
    """Add distractors: sounds that have none of the labels.

    Args:
        clip: (samples,), changed in place.
        bank: the source of sounds.
        split: train or validation.
        mixing: their mean number, and the largest `snr`: their level above the background is from -3 dB to 0.6 times
            that.
        rng: random numbers.
        rms: the background's root mean square.
    """
    length = len(clip)
    for _ in range(int(rng.poisson(mixing.distractors))):
        found = bank.distractor(split, rng)
        if found is not None:
            sound = level(found[1][:length].astype(np.float64))
            start = int(rng.integers(length - len(sound) // 2))  # at least half of it is within the clip
            gain = rms * 10 ** (rng.uniform(-3, 0.6 * mixing.snr[1]) / 20)
            clip[start : start + len(sound)] += gain * sound[: length - start]


def finished(clip: np.ndarray, mixing: Mixing, rng: Generator) -> np.ndarray:
    """Return a clip with a cut-off frequency and a peak level drawn from `mixing`.

    Args:
        clip: (samples,); may be changed in place.
        mixing: the ranges `top` and `peak`.
        rng: random numbers.

    Returns:
        (samples,) float32.
    """
    top = float(rng.uniform(*mixing.top))
    if top < 7900:
        clip = shape(clip, 1 / (1 + (BINS[None] / top) ** 8))  # falls by 48 dB per octave
    clip *= 10 ** (float(rng.uniform(*mixing.peak)) / 20) / max(float(np.max(np.abs(clip))), 1e-9)
    return clip.astype(np.float32)


def profile(bank: Bank, label: str) -> Profile:
    """Return a label's statistics in DESED, or for another label a guess from the length of its recordings."""
    if label in PROFILES:
        return PROFILES[label]
    typical = bank.typical_seconds(label)
    # a share in the range of those in PROFILES; long sounds come once, short ones several times in a clip
    return Profile(10.0, 1.2 if typical > 3 else 2.5, min(typical, 8.0), 0.5)


def draw_labels(bank: Bank, split: str, rng: Generator) -> list[str]:
    """Draw the labels of one clip.

    Args:
        bank: the source of sounds.
        split: train or validation.
        rng: random numbers.

    Returns:
        The labels.
    """
    there = [label for label in bank.labels if bank.has(split, label)]
    counts = np.array(list(LABEL_COUNTS.values()), float)
    count = min(int(rng.choice(list(LABEL_COUNTS), p=counts / counts.sum())), len(there))
    shares = np.array([profile(bank, label).share for label in there])
    return [there[int(k)] for k in rng.choice(len(there), count, replace=False, p=shares / shares.sum())]


def place(bank: Bank, split: str, label: str, rng: Generator, seconds: float) -> list[tuple[int, np.ndarray]]:
    """Draw the events of one label in a clip, at least GAP apart.

    Args:
        bank: the source of sounds.
        split: train or validation.
        label: of the events.
        rng: random numbers.
        seconds: length of the clip.

    Returns:
        (onset in samples, waveform at level 1) of each event; an onset before the clip is negative.
    """
    statistics = profile(bank, label)
    voice = bank.voice(split, label, rng)
    if rng.random() < statistics.full:
        sound = level(voice(rng, seconds + 1.5))  # longer than the clip, which cuts its fades at both ends
        margin = max(0, len(sound) - samples(seconds)) // 2
        return [(-margin, sound)]
    placed: list[tuple[int, np.ndarray]] = []
    for _ in range(1 + int(rng.poisson(statistics.events - 1))):
        wanted = float(np.clip(statistics.median * np.exp(rng.normal(0, statistics.spread)), SHORTEST, seconds))
        sound = trim(level(voice(rng, wanted).astype(np.float64)))[: samples(seconds)]
        size = len(sound)
        if size < samples(0.05):  # `trim` may leave little of a sound
            continue
        # long events may have begun before the clip or outlast it
        beyond = size // 4 if size > samples(2.0) else 0
        for _ in range(TRIES):
            onset = int(rng.integers(-beyond, samples(seconds) - size + beyond + 1))
            if all(
                onset > start + len(other) + samples(GAP) or onset + size + samples(GAP) < start
                for start, other in placed
            ):
                placed.append((onset, sound))
                break
    return placed


def trim(sound: np.ndarray, *, decibels: float = 32.0) -> np.ndarray:
    """Cut a sound's quiet start and end: frames of 10 ms that are `decibels` or more below its loudest frame."""
    step = samples(0.01)
    whole = len(sound) // step
    if whole < 2:
        return sound
    power = (sound[: whole * step].reshape(whole, step) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-decibels / 10))
    return sound[loud[0] * step : (loud[-1] + 1) * step] if len(loud) else sound
