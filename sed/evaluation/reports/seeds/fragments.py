"""Counts of events that are split (several detections lie in one) or merged (one detection holds several)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sed.data.tables import Event
from sed.evaluation.metrics.pairing import split_and_merged

Events = Mapping[str, Sequence[Event]]


def fragments(truth: Events, detections: Events) -> dict[str, int]:
    """Count split and merged events, as defined by `split_and_merged`.

    Args:
        truth: {clip: its events}.
        detections: the same of a system.

    Returns:
        `events`, and how many of them are `split` and `merged`.
    """
    counts = {"events": 0, "split": 0, "merged": 0}
    for clip, events in truth.items():
        counts["events"] += len(events)
        for label in {event.label for event in events}:
            split, merged = split_and_merged(_spans(events, label), _spans(detections.get(clip, ()), label))
            counts["split"] += int(split.sum())
            counts["merged"] += int(merged.sum())
    return counts


def _spans(events: Sequence[Event], label: str) -> np.ndarray:
    """Return (events, 2) onsets and offsets of the events of a class."""
    return np.array([(event.onset, event.offset) for event in events if event.label == label]).reshape(-1, 2)
