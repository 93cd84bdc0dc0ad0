"""Steps between a model's scores and its decisions; each takes and gives `FrameScores`.

Weak masking, median and maximum filters work on scores, not on decisions. For rank filters that is the same as
filtering the decisions of every threshold (they commute with thresholding), and it makes one pass serve all
operating points.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import maximum_filter1d, median_filter

from sed.data.scores import FrameScores
from sed.errors import UserError

# Seconds (F: taken over from FDY-SED, whose filters the paper reuses).
PAPER_MEDIAN = {
    "Alarm_bell_ringing": 0.32,
    "Blender": 0.70,
    "Cat": 0.32,
    "Dishes": 0.32,
    "Dog": 0.32,
    "Electric_shaver_toothbrush": 4.29,
    "Frying": 3.90,
    "Running_water": 3.14,
    "Speech": 0.32,
    "Vacuum_cleaner": 1.09,
}
OTHER_MEDIAN = 0.32  # labels that the paper does not know


def weak_mask(scores: FrameScores) -> FrameScores:
    """Silence a class in a clip wherever its clip posterior is not above the threshold (F).

    Written for all thresholds at once: min(frame posterior, clip posterior) exceeds a threshold just where both do.
    """
    if scores.clip_values is None:
        raise UserError("weak masking needs clip posteriors, which this input lacks (leave out weak_mask)")
    lengths = np.diff(scores.start)
    return scores.with_values(np.minimum(scores.values, np.repeat(scores.clip_values, lengths, axis=0)))


def window_frames(seconds: float, frame_seconds: float) -> int:
    """A filter's length in frames: the nearest odd number, ties up, so that it is centred; 1 does nothing."""
    return 2 * int(round(seconds / frame_seconds, 3) / 2) + 1


def median(scores: FrameScores, seconds: Mapping[str, float]) -> FrameScores:
    """Median filter of `seconds[label]` along time, edges reflected."""
    return _filtered(scores, seconds, lambda x, width: median_filter(x, size=width, mode="reflect"))


def maximum(scores: FrameScores, seconds: Mapping[str, float]) -> FrameScores:
    """Maximum filter of `seconds[label]` along time: closes gaps, and widens events by half the window."""
    return _filtered(scores, seconds, lambda x, width: maximum_filter1d(x, size=width, mode="reflect"))


def _filtered(scores: FrameScores, seconds: Mapping[str, float], function) -> FrameScores:
    values = np.array(scores.values, order="C", copy=True)
    frame = scores.frame_seconds()
    for index, label in enumerate(scores.labels):
        width = window_frames(seconds[label], frame)
        if width == 1:
            continue
        column = np.ascontiguousarray(scores.values[:, index])
        for _, rows in scores.items():
            if rows.stop > rows.start:
                values[rows, index] = function(column[rows], width)
    return scores.with_values(values)


def paper_median(labels: list[str]) -> dict[str, float]:
    """The paper's windows for `labels`, a default for those it does not know."""
    return {label: PAPER_MEDIAN.get(label, OTHER_MEDIAN) for label in labels}
