"""Statistics of training sets, for front ends that normalise by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from sed.features.logmel import FrontEnd

CLIPS = 2000
"""clips read from all sets together at most, evenly spaced: if a mel bin's mean in a clip varies between clips with a
standard deviation of 5 dB, its mean over 2000 clips has a standard error of 0.1 dB"""
LEAST = 1e-3
"""smallest standard deviation, in the features' unit (natural logarithm or dB); that of a mel bin without energy, which
holds the logarithm's floor in every frame, is 0, and the front end divides by it"""


class Features(Protocol):
    """Interface of a feature store as the statistics use it."""

    clips: list[str]
    valid: np.ndarray
    """number of valid frames of each clip (clips,); later ones are padding"""

    def read(self, rows: Any) -> np.ndarray:
        """Return the features of these clips (rows, frames, bins)."""
        ...


def fitted(front_end: FrontEnd, stores: Sequence[Features]) -> FrontEnd:
    """Return a front end with the statistics of training sets if it normalises by them, else the front end itself."""
    if not front_end.wants_statistics:
        return front_end
    mean, deviation = bin_statistics(stores, over=front_end.norm_over)
    # An option of the front end, as text, so that it is stored with the model: all means, then all deviations.
    text = ",".join(f"{value:.9g}" for value in (*mean, *deviation))
    return type(front_end)(**{**front_end.params(), "norm_bins": text})


def sampled(stores: Sequence[Features], count: int) -> Iterator[np.ndarray]:
    """Yield the valid frames (n, bins) float64 of at most `count` clips, evenly spaced over all stores."""
    sizes = np.cumsum([0, *(len(store.clips) for store in stores)])
    for row in np.unique(np.linspace(0, sizes[-1] - 1, count).round().astype(int)):
        index = int(np.searchsorted(sizes, row, side="right")) - 1
        store, row_in_store = stores[index], int(row - sizes[index])
        yield store.read([row_in_store])[0, : store.valid[row_in_store]].astype(np.float64)


def bin_statistics(stores: Sequence[Features], *, over: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each mel bin in at most CLIPS clips, float64.

    Args:
        stores: the sets' features.
        over: `clips` averages the means and the standard deviations of the clips; `frames` takes all frames together.
    """
    per_clip = [(len(x), x.mean(0), x.var(0)) for x in sampled(stores, CLIPS)]
    lengths, means, variances = (np.array(column) for column in zip(*per_clip, strict=True))
    if over == "clips":
        return means.mean(0), np.maximum(np.sqrt(variances).mean(0), LEAST)
    weights = lengths / lengths.sum()
    mean = weights @ means
    return mean, np.maximum(np.sqrt(weights @ (variances + (means - mean) ** 2)), LEAST)
