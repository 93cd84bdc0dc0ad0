"""Score of each annotator: the agreement with the others, as RealDESED's authors compute it.

The aggregation `weighted` (`sed.data.prepare.aggregation`) weights annotators by it. Constants, rounding and special
cases are those of compute_annotator_score.py in github.com/fschmid56/RealDESED.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sed.data.tables import Event

FRAMES_PER_SECOND = 25
"""time resolution at which annotations are compared"""
SHRINKAGE = 5.0
"""number of shared recordings for which an annotator's mean agreement and the mean of all have equal weight"""


def annotator_scores(recordings: Iterable[Mapping[str, Sequence[Event]]]) -> dict[str, float]:
    """Return each annotator's score in [0, 1]: the mean agreement with the others, shrunk towards the mean of all.

    An annotator's agreement in a recording is the mean of the Dice coefficients (`dice`) with each of the others who
    marked events in it; `own` is the mean agreement over the annotator's n recordings with such others. The score is
    c * own + (1 - c) * (mean of `own` over all annotators), where c = n / (n + SHRINKAGE).

    Args:
        recordings: {annotator: events} of each recording.

    Returns:
        {annotator: score} of the annotators who share a recording with another.
    """
    agreements: dict[str, list[float]] = {}
    for marked in recordings:
        for annotator, agreement in _agreements(marked).items():
            agreements.setdefault(annotator, []).append(agreement)
    own = {annotator: sum(values) / len(values) for annotator, values in agreements.items()}
    if not own:
        return {}
    mean = sum(own.values()) / len(own)
    shares = {annotator: len(values) / (len(values) + SHRINKAGE) for annotator, values in agreements.items()}
    return {annotator: shares[annotator] * own[annotator] + (1 - shares[annotator]) * mean for annotator in own}


def _agreements(marked: Mapping[str, Sequence[Event]]) -> dict[str, float]:
    """Return {annotator: mean of the Dice coefficients with the others} of one recording; empty for fewer than two.

    Annotators who marked nothing in the recording are left out, as in the authors' code.
    """
    marked = {annotator: events for annotator, events in marked.items() if events}
    if len(marked) < 2:
        return {}
    labels = sorted({event.label for events in marked.values() for event in events})
    seconds = max(event.offset for events in marked.values() for event in events)
    active = {annotator: _frames(events, labels, seconds) for annotator, events in marked.items()}
    found = {}
    for annotator, own in active.items():
        pairs = [dice(own, other) for name, other in active.items() if name != annotator]
        known = [pair for pair in pairs if pair is not None]
        if known:
            found[annotator] = sum(known) / len(known)
    return found


def _frames(events: Sequence[Event], labels: Sequence[str], seconds: float) -> np.ndarray:
    """Return (labels, frames) bool: where an annotator marked a label.

    A frame is active if its middle is in [onset, offset). The frames reach at least to `seconds`.
    """
    frames = np.zeros((len(labels), math.ceil(seconds * FRAMES_PER_SECOND)), bool)
    for event in events:
        first, last = (math.ceil(time * FRAMES_PER_SECOND - 0.5) for time in (event.onset, event.offset))
        frames[labels.index(event.label), max(first, 0) : last] = True
    return frames


def dice(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the mean Dice coefficient over the labels that at least one of two annotators marked; None if none did.

    Args:
        one: (labels, frames) bool.
        other: the same.
    """
    sizes = one.sum(1) + other.sum(1)
    common = (one & other).sum(1)
    return float((2 * common[sizes > 0] / sizes[sizes > 0]).mean()) if sizes.any() else None
