"""Posteriors on another grid of frames, so that systems of different frame rates can be averaged or compared."""

from __future__ import annotations

import numpy as np

TIME_DECIMALS = 6  # a time on two grids has to be the same number, and 3 x 0.05 is not 15 x 0.01
BLOCK = 1000
"""new frames that are computed at once: the shares of ten minutes from 40 to 10 ms would take 7 GB"""


def resampled(frame: np.ndarray, seconds: float, wanted: float, frames: int) -> np.ndarray:
    """Return posteriors on another grid: each new frame has the mean of the old ones over its time.

    So longer frames average old ones, and shorter ones repeat them. The integral over time stays the same if both grids
    are equally long. If the new frames go beyond the end of the last old one, that one is extended to their end.

    Args:
        frame: posteriors (clips, old frames, classes) float32.
        seconds: length of an old frame, in seconds.
        wanted: length of the new frames, in seconds.
        frames: number of the new frames.

    Returns:
        (clips, frames, classes) float32; the input itself if it is on that grid already.
    """
    if frame.shape[1] == frames and round(seconds - wanted, TIME_DECIMALS) == 0:
        return frame
    old = np.round(np.arange(frame.shape[1] + 1) * seconds, TIME_DECIMALS)
    new = np.round(np.arange(frames + 1) * wanted, TIME_DECIMALS)
    old[-1] = max(old[-1], new[-1])
    out = np.empty((len(frame), frames, frame.shape[2]), np.float32)
    for begin in range(0, frames, BLOCK):
        borders = new[begin : begin + BLOCK + 1]
        # the old frames that these new ones overlap: [first, end)
        first, end = np.searchsorted(old, borders[0], "right") - 1, np.searchsorted(old, borders[-1])
        shares = _shares(old[first : end + 1], borders)
        for row, values in zip(out, frame, strict=True):  # clip by clip: in float64 all would take twice the memory
            row[begin : begin + BLOCK] = shares @ values[first:end]
    return out.clip(0, 1, out=out)  # rounding may exceed 1


def _shares(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the fraction of each new frame that each old frame covers.

    Args:
        old: (old frames + 1,) their borders in seconds, ascending.
        new: (new frames + 1,) the same of the new frames; none is beyond the old ones.

    Returns:
        (new frames, old frames) fractions; each row adds up to 1.
    """
    common = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])  # negative if apart
    shares = common.clip(0)
    return shares / shares.sum(1, keepdims=True)


def finest_grid(grids: list[tuple[float, int]]) -> tuple[float, int]:
    """Return a grid (seconds per frame, number of frames) with the shortest frames of all, as long as the longest grid.

    The number of frames is rounded down, so the longest grid may go beyond it by less than a frame.
    """
    seconds = min(length for length, _ in grids)
    # 1e-6: a whole number of frames that a rounding error made smaller stays
    return seconds, max(int(length * count / seconds + 1e-6) for length, count in grids)
