"""Labels: multi-hot targets of tags, frame boundaries of times, merging of overlapping events, checks, short lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from sed.data.tables import Event
from sed.errors import UserError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Key = TypeVar("Key")

UNKNOWN = 2
"""value in uint8 targets of a frame in which a label may be active or not; `augment.as_known` makes it NaN, and losses
ignore that"""


def boundary(seconds: float, frame_seconds: float) -> int:
    """Return the index of the frame boundary nearest to a time; halves round up.

    A time that is up to a millionth of a frame less than a half rounds up, too: division may fall short of the half.
    """
    return int(np.floor(seconds / frame_seconds + 0.5 + 1e-6))


def some_labels(texts: Sequence[str], most: int) -> str:
    """Join the texts of labels for a message: at most `most` of them, then how many more there are."""
    more = [more_labels(len(texts) - most)] if len(texts) > most else []
    return ", ".join([*texts[:most], *more])


def more_labels(number: int) -> str:
    """Return `1 more label`, `2 more labels`."""
    return f"{number} more label{'s' * (number != 1)}"


def tag_targets(clips: Iterable[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Return the tags of each clip as multi-hot targets (clips, classes) float32."""
    clips = list(clips)
    column = {label: k for k, label in enumerate(labels)}
    targets = np.zeros((len(clips), len(labels)), np.float32)
    for row, tags in zip(targets, clips, strict=True):
        row[[column[tag] for tag in tags]] = 1
    return targets


def merge_events(events: Mapping[str, Sequence[Event]]) -> tuple[dict[str, list[Event]], int]:
    """Join overlapping events of one label in each clip, since psds_eval refuses them in ground truth.

    Returns:
        {clip: its events, sorted}, and by how many the events have become fewer.
    """
    merged: dict[str, list[Event]] = {}
    for clip, found in events.items():
        spans = sorted((event.label, event.onset, event.offset) for event in found)
        merged[clip] = sorted(Event(onset, offset, label) for label, onset, offset in merge_spans(spans))
    before, after = (sum(map(len, table.values())) for table in (events, merged))
    return merged, before - after


def merge_spans(spans: Iterable[tuple[Key, float, float]], *, touching: bool = False) -> list[tuple[Key, float, float]]:
    """Join overlapping spans that have the same key, such as the events of one label.

    Args:
        spans: (key, onset, offset), sorted by key and then onset.
        touching: also join a span that begins exactly where another of its key ends.

    Returns:
        The joined spans, sorted in the same way.
    """
    merged: list[tuple[Key, float, float]] = []
    for key, onset, offset in spans:
        if merged and merged[-1][0] == key and (onset < merged[-1][2] or (touching and onset == merged[-1][2])):
            merged[-1] = key, merged[-1][1], max(merged[-1][2], offset)
        else:
            merged.append((key, onset, offset))
    return merged


def check_labels(path: object, labels: object) -> None:
    """Raise UserError if the labels of a model file are not distinct names that fit in a table.

    Args:
        path: the model file, for messages.
        labels: its labels, of any type: the file is not trusted.
    """
    if not isinstance(labels, list | tuple) or not labels:
        what = "empty" if labels in ([], ()) else f"of type {type(labels).__name__}"
        raise UserError(f"{path}: its labels are {what}, not a list of names (write the file again)")
    seen: set[str] = set()
    for label in labels:
        if not isinstance(label, str) or not label.strip() or _CONTROL.search(label):
            raise UserError(f"{path}: label {label!r} is not a name of one line without tabs (write the file again)")
        if label in seen:
            raise UserError(f"{path}: label '{label}' comes twice (write the file again)")
        seen.add(label)
