"""Cut a recording of any length into windows, and join their posteriors into one sequence.

Window i covers the samples [i * hop, i * hop + length). A frame gets the highest frame posterior of the windows that
cover it: a detector finds an event in some windows and misses it in others, and the mean over them is often below the
threshold. For weak masking (no frame posterior above the class's clip posterior), a frame's clip posterior is the mean
of the windows' clip posteriors p with weights p^2: a single confident window outweighs several others, but a single
window barely above the threshold does not, as it would with the maximum (measured: see OVERLAP). The posteriors of a
recording of at most one window are unchanged.

A window decides a frame if its posteriors count in the join there. In a live stream, the newest frames of a window are
left to later windows, which contain more of the audio that follows these frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sed.errors import UserError


class Window(NamedTuple):
    """A piece of a recording for the model; frames are counted from the recording's start."""

    start: int
    """first frame of the window"""
    first: int | None
    """first frame that the window decides; None for the first window, which decides from its start"""
    next_first: int | None
    """`first` of the next window; None for the last window of a recording"""
    samples: np.ndarray
    """(samples,) float32, at most a window's length"""


OVERLAP = 0.8
"""Default overlap as a share of a window.

This and the join were chosen on 270 minutes of mixtures of procedural sounds. Event-based F1 (mean over labels) on 270
other minutes, sparse / dense in events (`sed.prediction.soundscapes.KINDS`), of two small systems that were trained on
such sounds, without `--centre-events` (`sed.bin.benchmark_windows`; more in egs/own_data/README.md), by overlap:

    overlap          0             0.5           0.8           0.9
    small AST-SED    .450 / .193   .487 / .220   .517 / .243   .518 / .242
    small AST-GRU    .323 / .115   .379 / .159   .380 / .164   .376 / .164

Masking with the highest clip posterior instead changes the sparse F1 by -.010 (AST-SED) and -.018 (AST-GRU), the dense
F1 by -.009 and +.005; masking with the unweighted mean lowers the dense F1 by .034 (of which system was not noted).
"""
MOST_OVERLAP = 0.9
"""largest overlap as a share of a window; prediction then takes ten times as long as without overlap"""


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Positions of windows and the frames that each decides; lengths are in output frames unless stated otherwise."""

    samples: int
    """samples of a window: the clip length that the model was trained on"""
    frame_samples: int
    """length of an output frame in samples"""
    frames: int
    """output frames of a window; the last may reach a fraction of a frame beyond its samples"""
    hop: int
    """frames from the start of a window to that of the next"""
    first: int
    """first frame that a window decides, counted from its start; the first window of a recording decides from 0"""
    common: int
    """number of frames from `first` on that the previous window decides, too"""

    @classmethod
    def overlapping(
        cls, *, samples: int, frame_seconds: float, rate: int, frames: int, overlap: float | None = None
    ) -> WindowPlan:
        """Return the plan for recordings: overlapping windows, each of which decides all that it covers.

        Args:
            samples: length of a window in samples.
            frame_seconds: length of an output frame.
            rate: sampling rate in Hz.
            frames: output frames per window.
            overlap: overlap of consecutive windows in seconds; None for OVERLAP of a window.

        Returns:
            The plan.

        Raises:
            UserError: windows cannot overlap by this much, or a frame is not a whole number of samples.
        """
        frame_samples = samples_of(frame_seconds, rate)
        overlap = OVERLAP * frames * frame_seconds if overlap is None else overlap
        most = math.floor(MOST_OVERLAP * frames + 1e-9)  # 1e-9: against rounding errors
        shared = _frames(overlap, frame_seconds) if math.isfinite(overlap) else -1
        if not 0 <= shared <= MOST_OVERLAP * frames + 0.5:  # 0.5: `shared` is rounded
            window = frames * frame_seconds
            raise UserError(
                f"--overlap {overlap:g}: the model's {window:g} s windows overlap by 0 to {MOST_OVERLAP * window:g} s "
                "(choose in between)"
            )
        # The last frame may reach beyond the window's samples: windows without overlap would then leave samples out.
        hop = min(frames - min(shared, most), samples // frame_samples)
        return cls(
            samples=samples,
            frame_samples=frame_samples,
            frames=frames,
            hop=hop,
            first=0,
            common=frames - hop,
        )

    @classmethod
    def live(
        cls,
        *,
        samples: int,
        frame_seconds: float,
        rate: int,
        frames: int,
        min_samples: int = 1,
        hop: float,
        lookahead: float,
    ) -> WindowPlan:
        """Return the plan for streams: each `hop`, frames up to `lookahead` before the end of the audio are given out.

        The window decides more frames, up to half of its lookahead and at most a hop: these are given out after the
        next window, and have the higher posteriors of both.

        Args:
            samples: length of a window in samples.
            frame_seconds: length of an output frame.
            rate: sampling rate in Hz.
            frames: output frames per window.
            min_samples: samples of the shortest window that the model takes; the first window is as long as a hop.
            hop: seconds from the end of a window to that of the next.
            lookahead: seconds at a window's end whose frames are given out after later windows.

        Returns:
            The plan.

        Raises:
            UserError: the hop is shorter than the shortest window, the lookahead is negative, hop and lookahead are
                longer than a window, or a frame is not a whole number of samples.
        """
        for name, value in (("hop", hop), ("lookahead", lookahead)):
            if not 0 <= value < math.inf:
                raise UserError(f"--live-{name} {value:g}: out of range (give a number from 0)")
        step, ahead = max(1, _frames(hop, frame_seconds)), max(0, _frames(lookahead, frame_seconds))
        frame_samples = samples_of(frame_seconds, rate)
        if step * frame_samples < min_samples:
            raise UserError(
                f"--live-hop {hop:g}: shorter than the model's {min_samples / rate:g} s analysis window (take more)"
            )
        if step + ahead > min(frames, samples // frame_samples):
            window = f"the model's {frames * frame_seconds:g} s window"
            raise UserError(
                f"--live-hop {hop:g} and --live-lookahead {lookahead:g} together exceed {window} (take less of one)"
            )
        return cls(
            samples=samples,
            frame_samples=frame_samples,
            frames=frames,
            hop=step,
            first=frames - ahead - step,
            common=min(ahead // 2, step),
        )

    def shared(self, begin: int, end: int) -> bool:
        """Return whether a border of a window cuts the frames [begin, end), or two windows share some of them.

        The windows go on without end here: near a recording's end the answer may be yes because of one that it lacks.
        """
        # The first window whose overlap with the window before it ends after `begin`.
        window = max(1, (begin - self.frames) // self.hop + 2)
        return window * self.hop < end

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[Window]:
        """Cut a stream of samples into windows, holding one window and one block; none for an empty stream."""
        hop = self.hop * self.frame_samples
        index, held, pieces = 0, 0, []
        for block in blocks:
            pieces.append(block)
            held += len(block)
            if held <= self.samples:  # a window that is exactly full may be the last: wait for a further sample
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
        """Cut a live stream: window k ends with the k-th hop; it has a window's length, or less at the start."""
        hop = self.hop * self.frame_samples
        buffer, held = np.empty(0, np.float32), []
        end = count = 0
        for block in blocks:
            held.append(block)
            count += len(block)
            while count > hop:
                new = np.concatenate(held) if len(held) > 1 else held[0]  # uncopied: the rest of a long block
                buffer, end = self._newest(np.concatenate([buffer, new[:hop]]), end), end + self.hop
                held, count = [new[hop:]], count - hop
                yield self._live(end, buffer, last=False)
        if count:
            yield self._live(end + self.hop, self._newest(np.concatenate([buffer, *held]), end), last=True)

    def _newest(self, buffer: np.ndarray, end: int) -> np.ndarray:
        """Drop the samples that the next window does not need; `end`: the frame at which the current window ends."""
        return buffer[(self._begin(end + self.hop) - self._begin(end)) * self.frame_samples :]

    def _begin(self, end: int) -> int:
        """Return the first frame of the live window that ends before frame `end`."""
        return max(0, end - self.samples // self.frame_samples)

    def _window(self, index: int, samples: np.ndarray, *, last: bool) -> Window:
        start = index * self.hop
        first = start + self.first
        return Window(start, first if index else None, None if last else first + self.hop, samples)

    def _live(self, end: int, samples: np.ndarray, *, last: bool) -> Window:
        first = end - self.frames + self.first
        return Window(self._begin(end), None if end == self.hop else first, None if last else first + self.hop, samples)


def _frames(seconds: float, frame_seconds: float) -> int:
    """Return a length in frames, at most 10^9: longer ones, which no plan allows, may exceed the range of floats."""
    return round(min(seconds / frame_seconds, 1e9))


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
    """Join of windows' posteriors, which returns frames as soon as no later window decides them."""

    def __init__(self, plan: WindowPlan, classes: int) -> None:
        self._plan, self._classes = plan, classes
        # For each frame that is not final and each class: the highest frame posterior, and the sums of p^3 and of p^2
        # over clip posteriors p, whose quotient is the mean with weights p^2. In float64, so that p^3 / p^2 of a single
        # window is its p in float32 to the bit.
        self._highest = np.zeros((0, classes), np.float32)
        self._sums = np.zeros((2, 0, classes))
        self._start = 0  # number of the first of these frames

    def add(self, window: Window, frame: np.ndarray, clip: np.ndarray) -> np.ndarray:
        """Add a window's posteriors.

        Args:
            window: the next window of the recording.
            frame: its frame posteriors (frames, classes).
            clip: its clip posteriors (classes,).

        Returns:
            (n, 2 * classes): a row for each frame that became final, in order, with its frame posteriors and then the
            clip posteriors for weak masking.
        """
        begin = self._start if window.first is None else max(self._start, window.first)
        end = window.start + len(frame)
        if window.next_first is not None:
            end = max(begin, min(end, window.next_first + self._plan.common))
        missing = end - self._start - len(self._highest)
        if missing > 0:
            self._highest = np.concatenate([self._highest, np.zeros((missing, self._classes), np.float32)])
            self._sums = np.concatenate([self._sums, np.zeros((2, missing, self._classes))], 1)
        covered = slice(begin - self._start, end - self._start)
        rows = self._highest[covered]
        np.maximum(rows, frame[begin - window.start : end - window.start], out=rows)
        self._sums[:, covered] += clip.astype(np.float64) ** np.array([[[3]], [[2]]])
        final = len(self._highest) if window.next_first is None else max(0, window.next_first - self._start)
        highest, self._highest = self._highest[:final], self._highest[final:]
        (cubes, squares), self._sums = self._sums[:, :final], self._sums[:, final:]
        self._start += len(highest)
        mask = np.divide(cubes, squares, out=np.zeros_like(cubes), where=squares > 0)
        return np.concatenate([highest, mask], 1, dtype=np.float32)
