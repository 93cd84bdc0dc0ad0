"""Choose recordings to label next: those that the model is least sure of and that are least like one another.

The measure joins two of the literature's. Uncertainty is the entropy of the model's decision (uncertainty sampling:
Lewis and Gale, 1994; entropy: Settles, 2009): a posterior p of a class with the threshold t is taken to

    q = p (1 - t) / (p (1 - t) + t (1 - p)),

which is 1/2 at the threshold, and has the entropy H(q) = -q log2 q - (1 - q) log2 (1 - q). A frame's is the highest of
its classes', a second's is the mean of its frames', and a recording's is its most uncertain second's: minutes of
silence do not hide a sound that the model does not know. Diversity is farthest-first traversal (Gonzalez, 1985), as
active learning for sound event detection has it (Zhao, Heittola and Virtanen, IEEE/ACM TASLP, 2020): recordings are
chosen one by one, each the one with the highest

    uncertainty x distance to the nearest recording that is chosen or labelled already.

Distances are Euclidean between the means and standard deviations over time of the log-mel bins, less the recording's
level, each scaled to a variance of 1 over the recordings. A copy of a chosen recording has distance 0 and is never
chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sed.prediction.recording import BaseSink, Result

SECONDS = 1.0
"""of the piece whose uncertainty counts"""
SAME = 1e-6
"""distance up to which recordings are copies of each other"""


class Doubt(NamedTuple):
    """Measurements of one recording for the choice."""

    uncertainty: float
    """in bits, 0 to 1"""
    onset: float
    """of the most uncertain second"""
    label: str
    """the class that is the most uncertain one in it"""
    descriptor: np.ndarray
    """(2 bins,) means and standard deviations of the log-mel"""


class Chosen(NamedTuple):
    """A recording that is to be labelled, by its place, and its distance to those before; NaN where there is none."""

    place: int
    distance: float


def entropy(posteriors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the entropy in bits of decisions: posteriors (..., classes) and thresholds (classes,)."""
    p = np.clip(posteriors.astype(np.float64), 1e-12, 1 - 1e-12)
    t = np.clip(np.asarray(thresholds, np.float64), 1e-12, 1 - 1e-12)
    q = p * (1 - t) / (p * (1 - t) + t * (1 - p))
    return -(q * np.log2(q) + (1 - q) * np.log2(1 - q))


class DoubtSink(BaseSink):
    """Measures one recording in constant memory; `doubt` is there when it has ended."""

    def __init__(self, labels: Sequence[str], thresholds: Sequence[float], frame_seconds: float) -> None:
        """
        Args:
            labels: the classes.
            thresholds: of each class.
            frame_seconds: length of a frame of the posteriors.
        """
        self._labels, self._thresholds, self._frame_seconds = list(labels), np.array(thresholds), frame_seconds
        self._block = max(1, round(SECONDS / frame_seconds))
        self._rest = np.zeros((0, len(self._labels)))
        self._blocks = 0
        self._best = (-1.0, 0.0, "")
        self._count, self._sums = 0, np.zeros((2, 0))
        self.doubt: Doubt | None = None

    def posteriors(self, frames: np.ndarray) -> None:
        bits = np.concatenate([self._rest, entropy(frames, self._thresholds)])
        for begin in range(0, len(bits) - self._block + 1, self._block):
            self._second(bits[begin : begin + self._block])
        self._rest = bits[len(bits) // self._block * self._block :]

    def _second(self, bits: np.ndarray) -> None:
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

    def finish(self, result: Result) -> None:  # noqa: ARG002 (a sink is given more than it needs)
        if len(self._rest) and not self._blocks:  # shorter than a second
            self._second(self._rest)
        mean, square = self._sums / max(1, self._count)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        self.doubt = Doubt(*self._best, np.concatenate([mean - mean.mean(), deviation]))


def choose(
    uncertainties: Sequence[float], descriptors: np.ndarray, count: int, labelled: Sequence[int] = ()
) -> list[Chosen]:
    """Choose recordings to label, the most useful first.

    Args:
        uncertainties: of each recording.
        descriptors: (recordings, dimensions).
        count: how many are wanted; fewer are chosen where the others are copies.
        labelled: indices of recordings that have labels: never chosen, and others keep their distance from them.

    Returns:
        The chosen recordings in order.
    """
    scale = descriptors.std(0)
    scaled = (descriptors - descriptors.mean(0)) / np.where(scale > 0, scale, 1) / math.sqrt(descriptors.shape[1])
    nearest = np.full(len(scaled), np.inf)

    def take(index: int) -> None:
        np.minimum(nearest, np.linalg.norm(scaled - scaled[index], axis=1), out=nearest)

    for index in labelled:
        take(index)
    left = np.ones(len(scaled), bool)
    left[list(labelled)] = False
    chosen: list[Chosen] = []
    while len(chosen) < count:
        distances = np.where(np.isinf(nearest), 1.0, nearest)  # the first: by its uncertainty alone
        scores = np.where(left & (distances > SAME), np.asarray(uncertainties) * distances, -1.0)
        best = int(scores.argmax())
        if scores[best] < 0:
            break
        chosen.append(Chosen(best, float(nearest[best]) if np.isfinite(nearest[best]) else math.nan))
        left[best] = False
        take(best)
    return chosen
