"""Posteriors without any structure."""

import numpy as np

from sed.data.scores import Scores


def uniform(clips: int, frames: int, frame_seconds: float = 0.01, seed: int = 0) -> Scores:
    """Return uniform frame and clip posteriors of two labels, `a` and `b`."""
    rng = np.random.default_rng(seed)
    return Scores(
        clips=[f"c{i}" for i in range(clips)],
        labels=["a", "b"],
        frame=rng.random((clips, frames, 2), dtype=np.float32),
        clip=rng.random((clips, 2), dtype=np.float32),
        frame_seconds=frame_seconds,
    )
