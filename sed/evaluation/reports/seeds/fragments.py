"""Events that are detected in pieces, and events that share a detection with others of their class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sed.data.tables import Event

SHARE = 0.5
"""of an event's length that has to lie in another for it to be a part of that"""
Events = Mapping[str, Sequence[Event]]


def fragments(truth: Events, detections: Events) -> dict[str, int]:
    """Count split and merged events.

    An event is split when more than one detection of its class lies in it, each by more than half of the detection's
    length; it is merged when a detection of its class holds more than half of it, and more than half of another event.

    Args:
        truth: {clip: its events}.
        detections: the same of a system.

    Returns:
        `events`, and how many of them are `split` and `merged`.
    """
    counts = {"events": 0, "split": 0, "merged": 0}
    for clip, events in truth.items():
        detected = detections.get(clip, ())
        merged: set[int] = set()
        for found in detected:
            held = [place for place, event in enumerate(events) if _holds(found, event)]
            merged.update(held if len(held) > 1 else ())
        counts["events"] += len(events)
        counts["split"] += sum(sum(_holds(event, found) for found in detected) > 1 for event in events)
        counts["merged"] += len(merged)
    return counts


def _holds(whole: Event, part: Event) -> bool:
    """Return whether more than `SHARE` of an event lies in another of its class."""
    overlap = min(whole.offset, part.offset) - max(whole.onset, part.onset)
    return whole.label == part.label and overlap > SHARE * (part.offset - part.onset)
