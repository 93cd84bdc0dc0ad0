"""Decide on events from posteriors that arrive in pieces, with the same result as from those of the whole recording.

Post-processing of a frame depends on at most `reach` frames to either side. So a frame can be decided once `reach`
frames after it are known, while `reach` frames before it are kept. (cSEBBs, the bounding boxes of the step `csebbs`,
merge over any distance: with them the result is the same unless a merged event or gap is longer than their `reach`.)
Post-processing is that of `sed.bin.score`; decoding gives the same events as that of `sed.bin.score`, which finds them
at many thresholds at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sed.data.scores import TIME_DECIMALS, FrameScores
from sed.data.tables import Event

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing

PIECE = 8192
"""frames decided at a time: more need more memory, fewer take more time"""


class Detection(NamedTuple):
    """An event and the mean posterior of its label over it, before post-processing."""

    event: Event
    score: float
    """NaN for events that `sed.prediction.conversion` reads from label files"""


def active_runs(values: np.ndarray, thresholds: Sequence[float]) -> Iterator[tuple[int, int, int]]:
    """Yield the runs of frames whose value exceeds its class's threshold, by class and time.

    Args:
        values: (frames, classes).
        thresholds: one for each class; a value equal to it is not active.

    Yields:
        Class, first frame, and the frame after the last.
    """
    active = np.zeros((values.shape[1], len(values) + 2), bool)  # an inactive frame before the first and after the last
    active[:, 1:-1] = (values > np.asarray(thresholds, np.float64)).T
    label, border = np.nonzero(active[:, 1:] != active[:, :-1])
    yield from zip(label[::2].tolist(), border[::2].tolist(), border[1::2].tolist(), strict=True)


class Decisions:
    """Decoder of one recording, which takes posteriors and returns events."""

    def __init__(
        self,
        *,
        labels: Sequence[str],
        frame_seconds: float,
        mask: Callable[[FrameScores], FrameScores] | None,
        steps: Callable[[FrameScores], FrameScores],
        reach: int,
        thresholds: Iterable[float],
        piece: int = PIECE,
    ) -> None:
        """
        Args:
            labels: the classes.
            frame_seconds: length of a frame.
            mask: steps that need clip posteriors (weak masking), applied frame by frame, since each frame has clip
                posteriors of its own, from the windows that cover it (`sed.prediction.windows`); None: no such step.
            steps: the other steps, applied after `mask`.
            reach: frames to either side that `steps` depend on.
            thresholds: decision threshold of each class.
            piece: number of frames that are decided together (1: as soon as possible).
        """
        self._labels, self._seconds = list(labels), frame_seconds
        self._mask, self._steps, self._reach, self._piece = mask, steps, reach, piece
        self._thresholds = [float(threshold) for threshold in thresholds]
        self.observe: Callable[[np.ndarray], None] | None = None
        """gets the post-processed posteriors (n, classes) of frames as they are decided"""
        self.suppressed = np.zeros(len(labels), np.int64)
        """number of frames of each class that exceeded the threshold before post-processing, but not after it"""
        self._new: list[tuple[np.ndarray, np.ndarray]] = []  # frame and clip posteriors that are not in `_raw` yet
        self._known = 0  # number of frames so far
        self._raw = np.zeros((0, len(labels)), np.float32)  # posteriors of the frames that are kept
        self._masked = self._raw  # the same after `mask`
        self._first = 0  # number of the first frame that is kept
        self._decided = 0  # number of frames decided so far
        # events that reach the last decided frame: {index of the class: (onset and offset so far in frames, sum of raw
        # posteriors)}
        self._open: dict[int, tuple[int, int, float]] = {}

    @classmethod
    def of(cls, post: PostProcessing, labels: Sequence[str], frame_seconds: float, *, piece: int = PIECE) -> Decisions:
        """Start on a recording.

        Args:
            post: the post-processing; steps that need clip posteriors are applied first.
            labels: the classes.
            frame_seconds: length of a frame.
            piece: number of frames that are decided together.

        Returns:
            Decisions without any frames yet.

        Raises:
            UserError: a step needs whole recordings, or one that needs clip posteriors follows a step that it cannot
                be moved before.
        """
        first, rest = post.split()
        return cls(
            labels=labels,
            frame_seconds=frame_seconds,
            mask=first.apply if first.steps else None,
            steps=rest.apply,
            reach=rest.reach(frame_seconds),
            thresholds=post.thresholds(labels),
            piece=piece,
        )

    def push(self, frame: np.ndarray, clip: np.ndarray) -> list[Detection]:
        """Append frame posteriors (n, classes) and each frame's clip posteriors (n, classes); return ended events."""
        self._new.append((frame.copy(), clip.copy()))  # a view would keep its whole array in memory
        self._known += len(frame)
        until = self._known - self._reach
        return self._decide(until) if until - self._decided >= self._piece else []

    def finish(self) -> list[Detection]:
        """Return the remaining events at the end of the recording."""
        found = self._decide(self._known) if self._known > self._first else []
        found += [self._detection(label, run) for label, run in self._open.items()]
        self._open = {}
        return sorted(found)

    def open_from(self, longest: int) -> int:
        """Return the first frame that events still to be returned may cover, except those longer than `longest` frames.

        That is the earliest onset of an open event that is not longer yet, else the first undecided frame. `Centring`
        holds back the frames from there on.
        """
        begins = (begin for begin, _, _ in self._open.values())
        return min([self._decided, *(begin for begin in begins if self._decided - begin <= longest)])

    def _take_new(self) -> None:
        """Append new frames to those that are kept, masked all at once."""
        frame, clip = (np.concatenate(pieces) for pieces in zip(*self._new, strict=True))
        self._new.clear()
        masked = frame
        # Each frame is passed as a clip, since it has its own clip posteriors.
        if self._mask is not None and len(frame):
            masked = self._mask(self._scores(frame, 0, start=np.arange(len(frame) + 1), clip=clip)).values
        self._raw = np.concatenate([self._raw, frame])
        self._masked = np.concatenate([self._masked, masked])

    def _scores(
        self, values: np.ndarray, first: int, *, start: np.ndarray | None = None, clip: np.ndarray | None = None
    ) -> FrameScores:
        """Return rows as scores, as one clip unless `start` is given; `first`: number of the first row's frame."""
        borders = np.round(np.arange(first, first + len(values) + 1) * self._seconds, TIME_DECIMALS)
        start = np.array([0, len(values)]) if start is None else start
        return FrameScores(
            clips=[""] * (len(start) - 1),  # names that post-processing does not use
            labels=self._labels,
            start=start,
            onset=borders[:-1],
            offset=borders[1:],
            values=values,
            clip_values=clip,
        )

    def _decide(self, until: int) -> list[Detection]:
        """Decide the frames before `until`; keep those within `reach` before it for the next call."""
        if self._new:
            self._take_new()
        before = self._scores(self._masked, self._first)
        processed = self._steps(before)
        values = processed.values
        if len(values) != len(self._masked):  # cSEBBs return frames of their own, each a whole number of ours
            values = values[np.searchsorted(processed.offset, (before.onset + before.offset) / 2)]
        low, high = self._decided - self._first, until - self._first
        thresholds = np.asarray(self._thresholds)  # in float64, as in `active_runs`
        self.suppressed += ((self._raw[low:high] > thresholds) & (values[low:high] <= thresholds)).sum(0)
        if self.observe is not None:
            self.observe(values[low:high])
        ended = []
        still: dict[int, tuple[int, int, float]] = {}
        for label, first, after in active_runs(values[low:high], self._thresholds):
            begin, end = self._decided + first, self._decided + after
            total = float(self._raw[begin - self._first : end - self._first, label].sum(dtype=np.float64))
            if begin == self._decided and label in self._open:
                begin, _, earlier = self._open.pop(label)
                total = earlier + total
            if end == until:
                still[label] = (begin, end, total)
            else:
                ended.append(self._detection(label, (begin, end, total)))
        ended += [self._detection(label, run) for label, run in self._open.items()]
        self._open = still
        self._decided = until
        drop = max(0, until - self._reach - self._first)
        self._raw, self._masked = self._raw[drop:], self._masked[drop:]
        self._first += drop
        return sorted(ended)

    def _detection(self, label: int, run: tuple[int, int, float]) -> Detection:
        begin, end, total = run
        onset, offset = (float(round(frame * self._seconds, TIME_DECIMALS)) for frame in (begin, end))
        return Detection(Event(onset, offset, self._labels[label]), total / (end - begin))
