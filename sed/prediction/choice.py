"""Choose recordings to label next: those that the model is least sure of and that are least like one another.

The choice combines two measures of the literature, uncertainty and diversity. Uncertainty is the entropy of the model's
decision (uncertainty sampling: Lewis and Gale, 1994; entropy: Settles, 2009): a posterior p of a class with the
threshold t is mapped to

    q = p (1 - t) / (p (1 - t) + t (1 - p)),

which is 1/2 at the threshold, and has the entropy H(q) = -q log2 q - (1 - q) log2 (1 - q). The entropy of a frame is
the highest over classes, that of a second the mean over its frames, and that of a recording the highest over its
seconds, so that minutes of silence do not hide a sound that the model does not know. Diversity is farthest-first
traversal (Gonzalez, 1985), as in active learning for sound event detection (Zhao, Heittola and Virtanen, IEEE/ACM
TASLP, 2020): recordings are chosen one by one, each time the one with the highest

    uncertainty x distance to the nearest recording that is chosen or labelled already.

A recording's descriptor has the mean over time of each log-mel bin, less the mean over bins (the level), and the
standard deviation over time of each bin; each of these is scaled to a variance of 1 over the recordings. Distances are
Euclidean, divided by the square root of the number of dimensions. A copy of a chosen recording has distance 0 and is
never chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sed.data.recordings import shown
from sed.data.tables import audio_stem
from sed.prediction.recording import BaseSink, Result

SECONDS = 1.0
"""length of the pieces of a recording whose uncertainty is measured"""
SAME = 1e-6
"""distance up to which recordings count as copies of each other"""
CONSTANT = 1e-5
"""standard deviation over recordings up to which a dimension of the descriptors is not scaled: rounding alone gives
1e-7 in bins that are at the floor in all recordings, such as those above 4 kHz of recordings made at 8 kHz"""


class Doubt(NamedTuple):
    """Measurements of one recording for the choice."""

    uncertainty: float
    """entropy of the most uncertain second in bits, 0 to 1"""
    onset: float
    """start of that second (s)"""
    label: str
    """the class with the highest mean entropy in it"""
    descriptor: np.ndarray
    """(2 * bins,) means of the log-mel bins less the mean over bins, and standard deviations; not scaled"""


class Chosen(NamedTuple):
    """A recording to label."""

    place: int
    """index of the recording"""
    distance: float
    """distance to the nearest recording that was chosen or labelled before; NaN if there is none"""


def entropy(posteriors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the entropy in bits of decisions: posteriors (..., classes) and thresholds (classes,)."""
    p = np.clip(posteriors.astype(np.float64), 1e-12, 1 - 1e-12)
    t = np.clip(np.asarray(thresholds, np.float64), 1e-12, 1 - 1e-12)
    q = p * (1 - t) / (p * (1 - t) + t * (1 - p))
    return -(q * np.log2(q) + (1 - q) * np.log2(1 - q))


class DoubtSink(BaseSink):
    """Sink that measures one recording in constant memory; `doubt` is set at the recording's end."""

    uses_logmel = True

    def __init__(self, labels: Sequence[str], thresholds: Sequence[float], frame_seconds: float) -> None:
        """
        Args:
            labels: the classes.
            thresholds: decision threshold of each class.
            frame_seconds: length of a frame of the posteriors.
        """
        self._labels, self._thresholds, self._frame_seconds = list(labels), np.array(thresholds), frame_seconds
        self._block = max(1, round(SECONDS / frame_seconds))
        self._rest = np.zeros((0, len(self._labels)))  # entropies of the frames after the last whole second
        self._blocks = 0  # number of seconds so far
        self._best = (-1.0, 0.0, "")  # of the most uncertain second: entropy, onset, label
        self._count, self._sums = 0, np.zeros((2, 0))  # frames of log-mel; sums of values and of squares by bin
        self.doubt: Doubt | None = None

    def posteriors(self, frames: np.ndarray) -> None:
        bits = np.concatenate([self._rest, entropy(frames, self._thresholds)])
        for begin in range(0, len(bits) - self._block + 1, self._block):
            self._add_second(bits[begin : begin + self._block])
        self._rest = bits[len(bits) // self._block * self._block :]

    def _add_second(self, bits: np.ndarray) -> None:
        """Take the entropies (frames, classes) of the next second."""
        uncertainty = float(bits.max(1).mean())
        if uncertainty > self._best[0]:
            onset = self._blocks * self._block * self._frame_seconds
            self._best = (uncertainty, onset, self._labels[int(bits.mean(0).argmax())])
        self._blocks += 1

    def logmel(self, frames: np.ndarray) -> None:
        frames = frames.astype(np.float64)
        if not self._count:
            self._sums = np.zeros((2, frames.shape[1]))
        self._count += len(frames)
        self._sums += [frames.sum(0), (frames**2).sum(0)]

    def finish(self, result: Result) -> None:  # noqa: ARG002 (the interface)
        if len(self._rest) and not self._blocks:  # only a recording below a second: a longer one's rest is ignored
            self._add_second(self._rest)
        mean, square = self._sums / max(1, self._count)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        self.doubt = Doubt(*self._best, np.concatenate([mean - mean.mean(), deviation]))


def labelled_among(names: Sequence[str], known: Iterable[str]) -> list[int]:
    """Return the indices of the recordings that have labels, ascending.

    Args:
        names: paths of the recordings.
        known: names of recordings in the labels, maybe with folders or without suffix. A name is for those recordings
            whose paths end in it; for all of its stem if there are none, since labels may be from another folder.
    """
    paths = [Path(shown(str(Path(name).absolute()))) for name in names]
    by_stem: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        by_stem.setdefault(audio_stem(path.name), []).append(index)
    found: set[int] = set()
    for name in known:
        parts, stem = Path(shown(name)).parts, audio_stem(name)
        alike = by_stem.get(stem, [])
        ends = {index: paths[index].parts[-len(parts) :] for index in alike}
        exact = [index for index, end in ends.items() if parts in (end, (*end[:-1], stem))]
        found.update(exact or alike)
    return sorted(found)


def choose(
    uncertainties: Sequence[float], descriptors: np.ndarray, count: int, labelled: Sequence[int] = ()
) -> list[Chosen]:
    """Choose recordings to label, the most useful first.

    Args:
        uncertainties: uncertainty of each recording, in bits.
        descriptors: (recordings, dimensions).
        count: number of recordings wanted; fewer are chosen if no others are left, or only copies.
        labelled: indices of recordings that have labels: they are not chosen, and count as chosen for distances.

    Returns:
        The chosen recordings in order.
    """
    spread = descriptors.std(0)
    scale = np.where(spread > CONSTANT, spread, 1) * math.sqrt(descriptors.shape[1])
    scaled = (descriptors - descriptors.mean(0)) / scale
    nearest = np.full(len(scaled), np.inf)

    def take(index: int) -> None:
        np.minimum(nearest, np.linalg.norm(scaled - scaled[index], axis=1), out=nearest)

    for index in labelled:
        take(index)
    left = np.ones(len(scaled), bool)
    left[list(labelled)] = False
    chosen: list[Chosen] = []
    while len(chosen) < count:
        # Without labelled recordings, the first is chosen by its uncertainty alone.
        distances = np.where(np.isinf(nearest), 1.0, nearest)
        scores = np.where(left & (distances > SAME), np.asarray(uncertainties) * distances, -1.0)
        best = int(scores.argmax())
        if scores[best] < 0:  # none is left, or only copies are
            break
        chosen.append(Chosen(best, float(nearest[best]) if np.isfinite(nearest[best]) else math.nan))
        left[best] = False
        take(best)
    return chosen
