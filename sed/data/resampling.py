"""Posteriors on another grid of frames, so that systems of different frame rates can be averaged or compared."""

from __future__ import annotations

import numpy as np

TIME_DECIMALS = 6  # a time on two grids has to be the same number, and 3 x 0.05 is not 15 x 0.01


def overlaps(seconds: float, count: int, wanted: float, frames: int) -> np.ndarray:
    """Return the fraction of each new frame that each old frame covers.

    If the new frames go beyond the end of the last old one, the last old one is extended to their end.

    Args:
        seconds: length of an old frame, in seconds.
        count: number of old frames.
        wanted: length of a new frame, in seconds.
        frames: number of new frames.

    Returns:
        (frames, count) fractions; each row adds up to 1.
    """
    old = np.round(np.arange(count + 1) * seconds, TIME_DECIMALS)
    new = np.round(np.arange(frames + 1) * wanted, TIME_DECIMALS)
    old[-1] = max(old[-1], new[-1])
    common = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])  # negative if apart
    shares = common.clip(0)
    return shares / shares.sum(1, keepdims=True)


def resampled(frame: np.ndarray, seconds: float, wanted: float, frames: int) -> np.ndarray:
    """Return posteriors on another grid: each new frame has the mean of the old ones over its time.

    So longer frames average old ones, and shorter ones repeat them. The integral over time stays the same if both grids
    are equally long.

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
    shares = overlaps(seconds, frame.shape[1], wanted, frames)
    out = np.empty((len(frame), frames, frame.shape[2]), np.float32)
    for row, values in zip(out, frame, strict=True):  # clip by clip: in float64 all would take twice the memory
        row[:] = shares @ values
    return out.clip(0, 1, out=out)


def finest_grid(grids: list[tuple[float, int]]) -> tuple[float, int]:
    """Return a grid (seconds per frame, number of frames) with the shortest frames of all, as long as the longest grid.

    The number of frames is rounded down, so the longest grid may go beyond it by less than a frame.
    """
    seconds = min(length for length, _ in grids)
    # Rounded down by `round(x - 0.5)`; 0.499999, so that a whole number that a rounding error made smaller stays.
    return seconds, max(round(length * count / seconds - 0.499999) for length, count in grids)
