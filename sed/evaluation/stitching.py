"""Average the posteriors of overlapping windows to posteriors of the recordings that they were cut from.

Logits are averaged with triangular weights, 1 in the middle of a window and FLOOR at its ends, as in the code of
RealDESED's authors (github.com/fschmid56/RealDESED).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np

from sed.data.scores import Scores
from sed.data.windows import Window
from sed.errors import UserError

logger = logging.getLogger("sed.stitch")
FLOOR = 0.3
"""weight of a window's first and last frame"""
LEAST = 1e-7
"""posteriors are clipped to LEAST .. 1 - LEAST, since the logits of 0 and 1 are infinite"""


def triangle(frames: int) -> np.ndarray:
    """Return the weights (frames,) of a window's frames."""
    return FLOOR + (1 - FLOOR) * (1 - np.abs(np.linspace(-1, 1, frames)))


def stitch(scores: Scores, windows: Mapping[str, Window], durations: Mapping[str, float], *, where: str) -> Scores:
    """Average the scores of windows to scores of their recordings.

    Args:
        scores: scores of windows; each clip is a window.
        windows: {clip: recording and onset of the window}, as from `read_windows`.
        durations: {recording: seconds}.
        where: name of the file of the scores, for messages.

    Returns:
        The scores of the recordings, sorted by the bytes of their names (as `LC_ALL=C sort`); frames that no window
        covers and those after a recording's end are 0. A warning counts windows without scores. A recording's clip
        posterior is the highest of its windows'.

    Raises:
        UserError: a clip is not among `windows`, or a recording has no window with scores.
    """
    if strange := next((clip for clip in scores.clips if clip not in windows), None):
        raise UserError(
            f"{where}: clip '{strange}' is no window of a recording (infer the set that was cut with windows.tsv)"
        )
    recordings = sorted({windows[clip].recording for clip in scores.clips}, key=str.encode)
    if lacking := sorted(set(durations) - set(recordings)):
        raise UserError(f"{where}: no window of recording '{lacking[0]}' (stage 1 left its audio out as bad)")
    if lacking := sorted(set(windows) - set(scores.clips)):
        logger.warning(
            "%s: no scores of %d of the %d windows, such as %s (stage 1 left their audio out as bad): frames that no "
            "other window covers are 0",
            where,
            len(lacking),
            len(windows),
            lacking[0],
        )
    row = {recording: index for index, recording in enumerate(recordings)}
    seconds = scores.frame_seconds
    # Numbers of frames; 1e-6 keeps a rounding error from adding one.
    lengths = [max(1, math.ceil(durations[recording] / seconds - 1e-6)) for recording in recordings]
    _, frames, classes = scores.frame.shape
    sums = np.zeros((len(recordings), max(lengths), classes), np.float32)
    total_weights = np.zeros(sums.shape[:2], np.float32)
    clip_values = np.zeros((len(recordings), classes), np.float32)
    weights = triangle(frames).astype(np.float32)
    for index, clip in enumerate(scores.clips):
        window = windows[clip]
        at = row[window.recording]
        first = round(window.onset / seconds)
        count = min(frames, lengths[at] - first)  # 0 or more, since windows begin within their recordings
        posteriors = scores.frame[index, :count].clip(LEAST, 1 - LEAST)
        part = slice(first, first + len(posteriors))
        sums[at, part] += weights[: len(posteriors), None] * (np.log(posteriors) - np.log1p(-posteriors))
        total_weights[at, part] += weights[: len(posteriors)]
        clip_values[at] = np.maximum(clip_values[at], scores.clip[index])
    covered = total_weights > 0
    frame = np.zeros_like(sums)
    frame[covered] = 1 / (1 + np.exp(-sums[covered] / total_weights[covered][:, None]))
    return Scores(
        clips=recordings,
        labels=scores.labels,
        frame=frame,
        clip=clip_values,
        frame_seconds=seconds,
        attrs={**scores.attrs, "windows": len(scores.clips)},
    )
