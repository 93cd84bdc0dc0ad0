"""Windows over a recording of any length, and their posteriors cross-faded into one sequence.

Window i covers the samples [i * hop, i * hop + length). Its share of a frame is r(t - i * hop) - r(t - (i + 1) * hop)
with r a ramp from 0 to 1 inside the overlap, so the shares of a frame add up to 1, and no window says anything about
its outermost frames, where it lacks context. The first window has no ramp before it and the last none after it: a
recording of at most one window is that window, untouched.
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
    ramp: int | None
    """the frame at which its share begins to grow from 0; None when no window is before it"""
    next_ramp: int | None
    """the same of the window after it; None when the recording ends with this one"""
    samples: np.ndarray
    """float32, at most the window's length"""


OVERLAP = 0.4
"""of a window. Near a clip's ends detectors hear a little otherwise: of events across a border, a small trained one
found 1.5 % not once with 0.2, and none with 0.4."""


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Where windows lie and how they fade into each other; lengths in output frames where nothing else is said."""

    samples: int
    """of a window: the clip length that the model was trained on"""
    frame_samples: int
    frames: int
    """of a window's output, which may go a part of a frame beyond its samples"""
    hop: int
    ramp_start: int
    """frame of a window at which its share begins to grow"""
    ramp: int
    """frames over which the share grows from 0 to 1"""

    @classmethod
    def overlapping(
        cls, *, samples: int, frame_seconds: float, rate: int, frames: int, overlap: float | None = None
    ) -> WindowPlan:
        """For recordings: windows overlap by `overlap` seconds, or OVERLAP, and fade in the middle half of that."""
        frame_samples = samples_of(frame_seconds, rate)
        overlap = OVERLAP * frames * frame_seconds if overlap is None else overlap
        shared = round(overlap / frame_seconds)
        if not 0 <= shared <= frames // 2:
            raise UserError(
                f"--overlap {overlap:g}: the model's {frames * frame_seconds:g} s windows overlap by 0 to half"
            )
        guard = shared // 4
        return cls(
            samples=samples,
            frame_samples=frame_samples,
            frames=frames,
            hop=frames - shared,
            ramp_start=guard,
            ramp=shared - 2 * guard,
        )

    @classmethod
    def live(
        cls, *, samples: int, frame_seconds: float, rate: int, frames: int, hop: float, lookahead: float
    ) -> WindowPlan:
        """For streams: every `hop` seconds the newest window decides what is `lookahead` seconds old."""
        step, ahead = max(1, round(hop / frame_seconds)), max(0, round(lookahead / frame_seconds))
        fade = min(ahead // 2, step)
        if step + ahead > frames:
            window = f"the model's {frames * frame_seconds:g} s window"
            raise UserError(f"--live-hop {hop:g} and --live-lookahead {lookahead:g} together exceed {window}")
        return cls(
            samples=samples,
            frame_samples=samples_of(frame_seconds, rate),
            frames=frames,
            hop=step,
            ramp_start=frames - ahead - step,
            ramp=fade,
        )

    @property
    def delay(self) -> int:
        """Frames from the newest frame of a window back to the newest that later windows leave alone."""
        return self.frames - self.hop - self.ramp_start

    def shared(self, begin: int, end: int) -> bool:
        """Whether of the frames [begin, end) of a recording some are in two windows, or a window's end cuts them."""
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
        """Of a window that ended at `end`, and what is newer, drop what the next window leaves behind."""
        return buffer[(self._begin(end + self.hop) - self._begin(end)) * self.frame_samples :]

    def _begin(self, end: int) -> int:
        return max(0, end - self.samples // self.frame_samples)

    def _window(self, index: int, samples: np.ndarray, *, last: bool) -> Window:
        start = index * self.hop
        ramp = start + self.ramp_start
        return Window(start, ramp if index else None, None if last else ramp + self.hop, samples)

    def _live(self, end: int, samples: np.ndarray, *, last: bool) -> Window:
        ramp = end - self.frames + self.ramp_start
        return Window(self._begin(end), None if end == self.hop else ramp, None if last else ramp + self.hop, samples)


def samples_of(seconds: float, rate: int) -> int:
    """A frame's length in samples, which must be whole; UserError otherwise."""
    samples = round(seconds * rate)
    if abs(samples - seconds * rate) > 1e-6 * samples:
        raise UserError(f"frames of {seconds:g} s are not whole samples at {rate} Hz: windows cannot be aligned")
    return samples


class CrossFade:
    """Adds windows' posteriors, each by its share, and hands out the frames that no later window changes."""

    def __init__(self, plan: WindowPlan, columns: int) -> None:
        self._plan = plan
        self._sum = np.zeros((0, columns), np.float32)
        self._start = 0

    def add(self, window: Window, values: np.ndarray) -> np.ndarray:
        """Add a window's (frames, columns) values.

        Returns the (n, columns) frames that became final, in order.
        """
        share = np.ones(len(values), np.float32)
        frames = np.arange(window.start, window.start + len(values))
        if window.ramp is not None:
            share = self._rise(frames - window.ramp)
        if window.next_ramp is not None:
            share = share - self._rise(frames - window.next_ramp)
        skip = max(0, self._start - window.start)  # frames already handed out: their share is 0
        missing = window.start + len(values) - self._start - len(self._sum)
        if missing > 0:
            self._sum = np.concatenate([self._sum, np.zeros((missing, values.shape[1]), np.float32)])
        at = window.start + skip - self._start
        whole = share[skip:] == 1  # a frame that is one window's alone keeps that window's value to the bit
        target = self._sum[at : at + len(values) - skip]
        target += np.where(whole[:, None], values[skip:], share[skip:, None] * values[skip:])
        final = len(self._sum)
        if window.next_ramp is not None:
            final = min(final, max(0, window.next_ramp - self._start))
        out, self._sum = self._sum[:final], self._sum[final:]
        self._start += final
        return out

    def _rise(self, position: np.ndarray) -> np.ndarray:
        ramp = self._plan.ramp
        if not ramp:
            return (position >= 0).astype(np.float32)
        return np.clip((position + 0.5) / ramp, 0, 1).astype(np.float32)
