"""Cut a recording of any length into windows, and join their posteriors into one sequence.

Window i covers the samples [i * hop, i * hop + length). A frame gets the highest frame posterior of the windows that
cover it: a detector finds an event in some windows and misses it in others, and the mean over them is below the
threshold more often than not. It is masked with the mean of their clip posteriors, each weighted by its square: one
window that is sure of a label outweighs some that do not have it, but a label that one of many just has is not let
through, as it is by the highest (figures: OVERLAP). A recording of at most one window is that window, untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sed.errors import UserError


class Window(NamedTuple):
    """A piece of a recording for the model."""

    start: int
    """its first frame, counted from the recording's start"""
    first: int | None
    """the first frame that it decides; None when no window is before it: all from its start"""
    next_first: int | None
    """the same of the window after it; None when the recording ends with this one"""
    samples: np.ndarray
    """float32, at most the window's length"""


OVERLAP = 0.8
"""of a window. It and the join were chosen on 270 minutes of continuous soundscapes. On 270 others, by
`sed.bin.benchmark_windows`, event-based F1 of a small AST-SED without `--centre-events` is .517 on sparse and .243 on
dense ones; .450 and .193 with 0, .487 and .220 with .5, .518 and .242 with .9. Of a small AST-GRU: .380 and .164; .323
and .115, .379 and .159, .376 and .164. Masked with the highest clip posterior sparse ones lose .010 and .018,
dense ones lose .009 and gain .005; with the mean dense ones lose .034."""
MOST_OVERLAP = 0.9
"""of a window: ten times the computation of windows that do not overlap"""


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Positions of windows and the frames that each decides; lengths are in output frames unless stated otherwise."""

    samples: int
    """of a window: the clip length that the model was trained on"""
    frame_samples: int
    frames: int
    """of a window's output, which may go a part of a frame beyond its samples"""
    hop: int
    first: int
    """the first frame of a window that it decides, if there is one before it"""
    common: int
    """frames from there on that the window before decides too"""

    @classmethod
    def overlapping(
        cls, *, samples: int, frame_seconds: float, rate: int, frames: int, overlap: float | None = None
    ) -> WindowPlan:
        """Return the plan for recordings: overlapping windows, each of which decides all that it covers.

        Args:
            samples: length of a window.
            frame_seconds: length of an output frame.
            rate: in Hz.
            frames: output frames per window.
            overlap: seconds; None for OVERLAP.

        Returns:
            The plan.
        """
        frame_samples = samples_of(frame_seconds, rate)
        overlap = OVERLAP * frames * frame_seconds if overlap is None else overlap
        shared = round(overlap / frame_seconds)
        if not 0 <= shared <= MOST_OVERLAP * frames:
            window = frames * frame_seconds
            raise UserError(
                f"--overlap {overlap:g}: the model's {window:g} s windows overlap by 0 to {MOST_OVERLAP * window:g} s "
                "(choose in between)"
            )
        return cls(
            samples=samples,
            frame_samples=frame_samples,
            frames=frames,
            hop=frames - shared,
            first=0,
            common=shared,
        )

    @classmethod
    def live(
        cls, *, samples: int, frame_seconds: float, rate: int, frames: int, hop: float, lookahead: float
    ) -> WindowPlan:
        """Return the plan for streams: every `hop` seconds a window decides up to `lookahead` seconds before its end.

        Args:
            samples: length of a window.
            frame_seconds: length of an output frame.
            rate: in Hz.
            frames: output frames per window.
            hop: seconds between windows.
            lookahead: seconds of a window after what it decides.

        Returns:
            The plan.
        """
        step, ahead = max(1, round(hop / frame_seconds)), max(0, round(lookahead / frame_seconds))
        if step + ahead > frames:
            window = f"the model's {frames * frame_seconds:g} s window"
            raise UserError(
                f"--live-hop {hop:g} and --live-lookahead {lookahead:g} together exceed {window} (take less of one)"
            )
        return cls(
            samples=samples,
            frame_samples=samples_of(frame_seconds, rate),
            frames=frames,
            hop=step,
            first=frames - ahead - step,
            common=min(ahead // 2, step),
        )

    def shared(self, begin: int, end: int) -> bool:
        """Return whether some of the frames [begin, end) are in two windows, or a window's end cuts them."""
        window = max(1, (begin - self.frames) // self.hop + 2)  # the first that shares, with the one before, later ones
        return window * self.hop < end

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[Window]:
        """Cut a stream of samples into windows, holding one window and one block; none for an empty stream."""
        hop = self.hop * self.frame_samples
        index, held, pieces = 0, 0, []
        for block in blocks:
            pieces.append(block)
            held += len(block)
            if held <= self.samples:  # a window that is just filled may be the last: only a further sample tells
                continue
            buffer = np.concatenate(pieces)
            while len(buffer) > self.samples:
                yield self._window(index, buffer[: self.samples], last=False)
                buffer = buffer[hop:]
                index += 1
            pieces, held = [buffer.copy()], len(buffer)
        if held:
            yield self._window(index, np.concatenate(pieces), last=True)

    def grow(self, blocks: Iterable[np.ndarray]) -> Iterator[Window]:
        """Cut a live stream: window k ends with the k-th hop and begins a window's length before, or at the start."""
        hop = self.hop * self.frame_samples
        buffer, held = np.empty(0, np.float32), []
        end = count = 0
        for block in blocks:
            held.append(block)
            count += len(block)
            while count > hop:
                new = np.concatenate(held)
                buffer, end = self._newest(np.concatenate([buffer, new[:hop]]), end), end + self.hop
                held, count = [new[hop:]], count - hop
                yield self._live(end, buffer, last=False)
        if count:
            yield self._live(end + self.hop, self._newest(np.concatenate([buffer, *held]), end), last=True)

    def _newest(self, buffer: np.ndarray, end: int) -> np.ndarray:
        """Drop samples that the next window does not need from a window that ended at `end` and newer ones."""
        return buffer[(self._begin(end + self.hop) - self._begin(end)) * self.frame_samples :]

    def _begin(self, end: int) -> int:
        return max(0, end - self.samples // self.frame_samples)

    def _window(self, index: int, samples: np.ndarray, *, last: bool) -> Window:
        start = index * self.hop
        first = start + self.first
        return Window(start, first if index else None, None if last else first + self.hop, samples)

    def _live(self, end: int, samples: np.ndarray, *, last: bool) -> Window:
        first = end - self.frames + self.first
        return Window(self._begin(end), None if end == self.hop else first, None if last else first + self.hop, samples)


def samples_of(seconds: float, rate: int) -> int:
    """Return a frame's length in samples, which must be a whole number; UserError otherwise."""
    samples = round(seconds * rate)
    if abs(samples - seconds * rate) > 1e-6 * samples:
        raise UserError(
            f"frames of {seconds:g} s are not whole samples at {rate} Hz: windows cannot be aligned "
            "(train with another frame_shift or upsample)"
        )
    return samples


class Join:
    """Joins windows' posteriors and hands out the frames that no later window decides."""

    def __init__(self, plan: WindowPlan, classes: int) -> None:
        self._plan, self._classes = plan, classes
        # of each frame and class: the highest frame posterior, sums of the clip posteriors' cubes and squares. In
        # float64, from which a lone window's clip posterior comes back to the bit.
        self._rows = np.zeros((0, 3, classes))
        self._start = 0

    def add(self, window: Window, frame: np.ndarray, clip: np.ndarray) -> np.ndarray:
        """Add a window's posteriors.

        Args:
            window: the next one of the recording.
            frame: its frame posteriors (frames, classes).
            clip: its clip posteriors (classes,).

        Returns:
            The rows (n, 2 classes) that became final, in order: a frame's posteriors, then the clip posteriors that
            are to mask it.
        """
        begin = self._start if window.first is None else max(self._start, window.first)
        end = window.start + len(frame)
        if window.next_first is not None:
            end = max(begin, min(end, window.next_first + self._plan.common))
        missing = end - self._start - len(self._rows)
        if missing > 0:
            self._rows = np.concatenate([self._rows, np.zeros((missing, 3, self._classes))])
        rows = self._rows[begin - self._start : end - self._start]
        np.maximum(rows[:, 0], frame[begin - window.start : end - window.start], out=rows[:, 0])
        rows[:, 1:] += clip.astype(np.float64) ** np.array([[3], [2]])
        final = len(self._rows) if window.next_first is None else max(0, window.next_first - self._start)
        out, self._rows = self._rows[:final], self._rows[final:]
        self._start += len(out)
        highest, cubes, squares = out.transpose(1, 0, 2)
        mask = np.divide(cubes, squares, out=np.zeros_like(cubes), where=squares > 0)
        return np.concatenate([highest, mask], 1).astype(np.float32)
