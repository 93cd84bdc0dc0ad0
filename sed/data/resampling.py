"""Posteriors on another grid of frames, so that systems of different frame rates can be averaged or compared."""

from __future__ import annotations

import numpy as np

TIME_DECIMALS = 6  # borders are rounded to microseconds, so that 4 x 0.01 is 0.04


def overlaps(seconds: float, count: int, wanted: float, frames: int) -> np.ndarray:
    """Return the fraction of each new frame's time that each old frame covers.

    The last old frame counts as longer if the new frames go beyond its end.

    Args:
        seconds: length of an old frame.
        count: number of old frames.
        wanted: length of a new frame, in seconds.
        frames: number of new frames.

    Returns:
        (frames, count) fractions; each row adds up to 1.
    """
    old = np.round(np.arange(count + 1) * seconds, TIME_DECIMALS)
    new = np.round(np.arange(frames + 1) * wanted, TIME_DECIMALS)
    old[-1] = max(old[-1], new[-1])
    common = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])
    shares = common.clip(0)
    return shares / shares.sum(1, keepdims=True)


def resampled(frame: np.ndarray, seconds: float, wanted: float, frames: int) -> np.ndarray:
    """Return posteriors on another grid: each new frame has the mean of the old ones over its time.

    So longer frames average old ones, shorter ones repeat them, and the integral over time stays the same.

    Args:
        frame: posteriors (clips, count, classes) float32.
        seconds: length of an old frame.
        wanted: length of the new frames, in seconds.
        frames: number of the new frames.

    Returns:
        (clips, frames, classes) float32; the input itself if it is on that grid.
    """
    if frame.shape[1] == frames and round(seconds - wanted, TIME_DECIMALS) == 0:
        return frame
    shares = overlaps(seconds, frame.shape[1], wanted, frames)
    out = np.empty((len(frame), frames, frame.shape[2]), np.float32)
    for row, values in zip(out, frame, strict=True):  # clip by clip: in float64 all would take twice the memory
        row[:] = shares @ values
    return out.clip(0, 1, out=out)


def finest_grid(grids: list[tuple[float, int]]) -> tuple[float, int]:
    """Return the grid (seconds per frame, frames) with the shortest frames of all that covers the longest clip.

    A clip may go beyond the grid by half a frame at most.
    """
    seconds = min(length for length, _ in grids)
    return seconds, max(round(length * count / seconds - 0.499999) for length, count in grids)
