"""Counts of found events by their length and by collar; events and detections are paired one to one as in sed_eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sed.data.tables import Event
from sed.evaluation.metrics.f1 import COLLARS, ONSET_COLLAR
from sed.evaluation.metrics.pairing import fitting, pairs

# {name of a bin of lengths: its end in seconds, exclusive}
LENGTHS = {"under 0.5 s": 0.5, "0.5 to 1 s": 1.0, "1 to 3 s": 3.0, "over 3 s": float("inf")}
Events = Mapping[str, Sequence[Event]]
"""{clip: its events}"""


@dataclass(kw_only=True)
class Tally:
    """Counts of one class by length: events found, all events, and detections that are paired with none (`false`)."""

    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LENGTHS, 0))
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LENGTHS, 0))
    false: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LENGTHS, 0))

    @property
    def totals(self) -> list[int]:
        """Found, events and false detections of all lengths."""
        return [sum(counts.values()) for counts in (self.found, self.events, self.false)]


def length_of(seconds: float) -> str:
    """Return the name of the bin of `LENGTHS` for a length in seconds."""
    return next(name for name, most in LENGTHS.items() if seconds < most)


def tallies(truth: Events, detections: Events, collar: float = ONSET_COLLAR) -> dict[str, Tally]:
    """Count events that are found, and detections that are paired with none.

    Args:
        truth: {clip: its events}.
        detections: the same of a system; clips that the truth lacks are left out.
        collar: largest error of an onset in seconds, and of an offset unless a fifth of the event is more.

    Returns:
        {label: its tally} of all labels of events and detections.
    """
    table: dict[str, Tally] = {}
    for clip, events in truth.items():
        detected = detections.get(clip, ())
        for label in sorted({event.label for event in (*events, *detected)}):
            tally = table.setdefault(label, Tally())
            true = [event for event in events if event.label == label]
            mine = [event for event in detected if event.label == label]
            paired = pairs(fitting(_spans(true), _spans(mine), collar))
            for row, event in enumerate(true):
                length = length_of(event.offset - event.onset)
                tally.events[length] += 1
                tally.found[length] += row in paired
            for column in {*range(len(mine))} - {*paired.values()}:
                tally.false[length_of(mine[column].offset - mine[column].onset)] += 1
    return table


def _spans(events: Sequence[Event]) -> np.ndarray:
    """Return (events, 2) onsets and offsets."""
    return np.array([(event.onset, event.offset) for event in events]).reshape(-1, 2)


def by_length(truth: Events, detections: Events) -> dict[str, dict[str, list[int]]]:
    """Return {label: {length: [found, events, false detections]}} at the collar of EB-F1."""
    return {
        label: {name: [t.found[name], t.events[name], t.false[name]] for name in LENGTHS}
        for label, t in tallies(truth, detections).items()
    }


def by_collar(truth: Events, detections: Events) -> dict[str, dict[str, list[int]]]:
    """Return {collar in seconds, as text: {label: [found, events, false detections]}}."""
    return {
        f"{collar:g}": {label: tally.totals for label, tally in tallies(truth, detections, collar).items()}
        for collar in COLLARS
    }


def f1(counts: Sequence[int]) -> float | None:
    """Return the F1 of [found, events, false detections]; None without events."""
    found, events, false = counts
    return 2 * found / (events + found + false) if events else None
