"""Labels as arrays: events as frame targets and back, tags as multi-hot vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sed.data.directory import Event


def frame_targets(
    clips: Iterable[Sequence[Event]], labels: Sequence[str], *, frames: int, frame_seconds: float
) -> np.ndarray:
    """Events of each clip as targets (clips, frames, classes) float32, 1 where active.

    Frame i spans [i, i + 1) * frame_seconds and is active when the event covers at least half of it: onset and
    offset round to the nearest frame boundary, ties up. An event too short for that takes the frame that
    holds its middle, so no event within the frames is lost; what lies beyond `frames` is cut.
    """
    clips = list(clips)
    column = {label: k for k, label in enumerate(labels)}
    targets = np.zeros((len(clips), frames, len(labels)), np.float32)
    for row, events in zip(targets, clips, strict=True):
        for onset, offset, label in events:
            start, end = boundary(onset, frame_seconds), boundary(offset, frame_seconds)
            if start == end:
                start = int((onset + offset) / 2 / frame_seconds + 1e-6)
                end = start + 1
            row[start:end, column[label]] = 1
    return targets


def boundary(seconds: float, frame_seconds: float) -> int:
    """The frame boundary nearest to a time, ties up (to a millionth of a frame, against rounding of the division)."""
    return int(np.floor(seconds / frame_seconds + 0.5 + 1e-6))


def frame_events(active: np.ndarray, labels: Sequence[str], *, frame_seconds: float) -> list[Event]:
    """Runs of active frames (frames, classes) of one clip as events in order; the inverse of `frame_targets`."""
    edges = np.diff(np.pad(np.asarray(active) > 0.5, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    events = [
        Event(float(start * frame_seconds), float(end * frame_seconds), label)
        for k, label in enumerate(labels)
        for start, end in zip(np.flatnonzero(edges[:, k] == 1), np.flatnonzero(edges[:, k] == -1), strict=True)
    ]
    return sorted(events)


def tag_targets(clips: Iterable[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Tags of each clip as multi-hot targets (clips, classes) float32."""
    clips = list(clips)
    column = {label: k for k, label in enumerate(labels)}
    targets = np.zeros((len(clips), len(labels)), np.float32)
    for row, tags in zip(targets, clips, strict=True):
        row[[column[tag] for tag in tags]] = 1
    return targets


def merge_events(events: Mapping[str, Sequence[Event]]) -> tuple[dict[str, list[Event]], int]:
    """Join a clip's events of one label that overlap; returns the events in order and how many went.

    psds_eval refuses ground truth in which events of one class overlap.
    """
    merged: dict[str, list[Event]] = {}
    for clip, found in events.items():
        kept: dict[str, list[Event]] = {}
        for event in sorted(found):
            run = kept.setdefault(event.label, [])
            if run and event.onset < run[-1].offset:
                run[-1] = run[-1]._replace(offset=max(run[-1].offset, event.offset))
            else:
                run.append(event)
        merged[clip] = sorted(event for run in kept.values() for event in run)
    before, after = (sum(map(len, table.values())) for table in (events, merged))
    return merged, before - after
