"""Continuous soundscapes: recordings of minutes with one background and one reverberation time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sed.data.synthesis.signals import RATE, level, reverberate, room, samples
from sed.data.synthesis.soundscape import GAP, Bank, Generator, Mixing, add_distractors, draw_labels, finished, place
from sed.data.tables import Event

SHORTEST = 0.05
"""seconds; an event that starts before the recording or outlasts it is kept if at least this much of it is inside"""


def continuous(
    bank: Bank, split: str, mixing: Mixing, rng: Generator, *, seconds: float, every: float
) -> tuple[np.ndarray, list[Event]]:
    """Mix a recording of overlapping stretches that begin at random times, each with the events of one clip.

    Args:
        bank: the source of sounds.
        split: train or validation.
        mixing: levels, reverberation and distractors.
        rng: random numbers.
        seconds: length of the recording.
        every: length of a stretch in seconds; on average, one stretch begins per such length.

    Returns:
        The recording (samples,) float32 at 16 kHz and its events in order; those of one label are more than GAP
        (`soundscape.GAP`, seconds) apart.
    """
    length = samples(seconds)
    mix = level(bank.background(split, rng, length)) * 0.5  # any level will do: `finished` scales the recording
    rms = float(np.sqrt(np.mean(mix**2))) or 1.0  # root mean square of the background; 1 if it is silent
    reverberation = float(rng.uniform(*mixing.reverberation))
    base = float(rng.uniform(*mixing.snr))
    tracks: dict[str, np.ndarray] = {}  # label -> its events without reverberation
    events: list[Event] = []
    # one stretch more than fits, since a stretch may begin up to its length before the recording
    for begin in rng.uniform(-every, seconds, round(seconds / every) + 1):
        for label in draw_labels(bank, split, rng):
            loudness = base + float(rng.normal(0, mixing.vary))
            track = tracks.setdefault(label, np.zeros(length))
            for onset, sound in place(bank, split, label, rng, every):
                gain = rms * 10 ** ((loudness + float(rng.normal(0, mixing.vary / 2))) / 20)
                start = onset + round(begin * RATE)
                part = sound[max(0, -start) : max(0, length - start)]
                start = max(0, start)
                event = Event(round(start / RATE, 3), round((start + len(part)) / RATE, 3), label)
                if len(part) >= samples(SHORTEST) and _is_apart(event, events):
                    track[start : start + len(part)] += gain * part
                    events.append(event)
        stretch = mix[round(max(0.0, begin) * RATE) : round(max(0.0, begin + every) * RATE)]
        if len(stretch):
            add_distractors(stretch, bank, split, mixing, rng, rms)
    for track in tracks.values():
        mix += reverberate(track, room(rng, reverberation, wet=float(rng.uniform(*mixing.wet))))
    return finished(mix, mixing, rng), sorted(events)


def _is_apart(event: Event, others: Sequence[Event]) -> bool:
    """Return whether an event is more than GAP away from all others of its label."""
    return all(
        event.label != other.label or event.onset > other.offset + GAP or event.offset < other.onset - GAP
        for other in others
    )
