"""Filters along time with a window for each class, for the steps median and maximum.

They filter scores instead of decisions. Rank filters (median, maximum) commute with thresholding: filtering the scores
once gives the same decisions as filtering the decisions at every threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sed.data.scores import FrameScores


TOGETHER = 1 << 20
"""number of scores that are filtered together, which limits the copies"""
LONGEST = 3600.0
"""seconds; largest length of a filter (our choice), which limits the memory that its reflected edges take"""


def window_frames(seconds: float, frame_seconds: float) -> int:
    """Return a filter's length in frames: the nearest odd number, of two the higher; a length of 1 does nothing."""
    frames = round(seconds / frame_seconds, 3)  # against rounding errors of the division: 1.2 / 0.2 is below 6
    return 2 * int(frames / 2) + 1


def reach(seconds: Mapping[str, float], frame_seconds: float) -> int:
    """Return half of the longest window, without its middle frame, in frames; seconds: {label: length}."""
    return max((window_frames(length, frame_seconds) - 1) // 2 for length in seconds.values())


def filtered(
    scores: FrameScores, seconds: Mapping[str, float], function: Callable[[np.ndarray, int], np.ndarray]
) -> FrameScores:
    """Filter each class of each clip.

    Args:
        scores: any frame scores.
        seconds: {label: length of the window}.
        function: the filter. It takes sequences of equal length, (sequences, frames), each the scores of one class in
            one clip, and the length of the window in frames, and returns scores of the same shape.

    Returns:
        Scores on the same frames.
    """
    values = np.array(scores.values, order="C", copy=True)
    frame, lengths = scores.frame_seconds(), np.diff(scores.start)
    # (number of frames, rows of all clips of that length)
    places: list[tuple[int, slice | np.ndarray]] = [
        (length, (scores.start[:-1][lengths == length, None] + np.arange(length)).ravel())
        for length in np.unique(lengths[lengths > 0]).tolist()
    ]
    if len(places) == 1:
        places = [(places[0][0], slice(None))]  # needs no copies
    widths = np.array([window_frames(seconds[label], frame) for label in scores.labels])
    most = max(1, TOGETHER // max(1, len(values)))
    for width in np.unique(widths[widths > 1]).tolist():
        classes = np.flatnonzero(widths == width)
        for first in range(0, len(classes), most):  # one call for several classes: calls take longer than filtering
            some = classes[first : first + most]
            columns = np.ascontiguousarray(scores.values[:, some].T)
            for length, rows in places:
                columns[:, rows] = function(columns[:, rows].reshape(-1, length), width).reshape(len(some), -1)
            values[:, some] = columns.T
    return scores.with_values(values)
