"""Pairing of the detections and true events of one class in one recording.

An event and a detection fit when their onsets differ by no more than the collar, and their offsets by no more than
the collar or a fifth of the event, whichever is more, as in event-based F1.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from sed.evaluation.metrics.f1 import OFFSET_SHARE, ONSET_COLLAR

HELD = 0.5
"""an event or detection lies in another if more than this share of its length does"""


def fitting(true: np.ndarray, found: np.ndarray, collar: float = ONSET_COLLAR) -> np.ndarray:
    """Compare the onset and offset of every detection with those of every event.

    Args:
        true: (events, 2) onsets and offsets in seconds.
        found: (detections, 2) the same of the detections.
        collar: largest error of an onset in seconds, and of an offset unless a fifth of the event is more.

    Returns:
        Booleans (events, detections), True where the detection fits the event: the same as sed_eval's, also where times
        are exactly a collar apart and rounding decides.
    """
    apart = np.abs(true[:, None] - found[None])
    late = np.maximum(collar, OFFSET_SHARE * (true[:, 1] - true[:, 0]))[:, None]
    return np.asarray((apart[..., 0] <= collar) & (apart[..., 1] <= late))


def pairs(fit: np.ndarray) -> dict[int, int]:
    """Return a pairing {event: detection} with as many pairs as possible.

    fit: (events, detections) whether they may be paired.
    """
    if not fit.any():
        return {}
    columns = maximum_bipartite_matching(csr_matrix(fit), perm_type="column")
    return {row: int(column) for row, column in enumerate(columns) if column >= 0}


def shared(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the seconds (events, detections) that each event and detection share; negative, a gap, if they are apart.

    true: (events, 2) onsets and offsets in seconds; found: (detections, 2) the same of the detections.
    """
    low = np.maximum(true[:, None, 0], found[None, :, 0])
    high = np.minimum(true[:, None, 1], found[None, :, 1])
    return np.asarray(high - low)


def split_and_merged(true: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which events (events,) are split, and which are merged.

    An event is split when more than one detection lies in it, each by more than half of the detection's length; it is
    merged when a detection holds more than half of it, and more than half of another event.

    Args:
        true: (events, 2) onsets and offsets in seconds.
        found: (detections, 2) the same of detections of the same class.
    """
    together = shared(true, found)
    inside = together > HELD * (found[:, 1] - found[:, 0])[None, :]
    held = together > HELD * (true[:, 1] - true[:, 0])[:, None]
    return inside.sum(1) > 1, held[:, held.sum(0) > 1].any(1)
