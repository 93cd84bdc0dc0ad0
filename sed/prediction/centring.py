"""Run the model again on events that several windows share, each in the middle of a window of its own.

This is `--centre-events` of sed.bin.predict, on by default.

The borders that a detector finds depend on where in its window the event lies: detectors with absolute position
embeddings respond a little differently near a window's ends. Of windows that share an event, some have it near an end.
Where they overlap little, none may have it in the middle; where they overlap much, the highest posterior of several
windows counts (`sed.prediction.windows`), which also finds events that a single window does not. So the posteriors of
the event's label are taken from one window, centred on it, and then post-processed and thresholded as usual: borders
are those of mid-window, and some events disappear.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sed.prediction.decisions import Decisions, Detection
from sed.prediction.predictor import Predictor, predict_windows
from sed.prediction.windows import Window, WindowPlan

AROUND = 0.5
"""seconds on either side of an event whose posteriors come from its own window, faded in over the outer half"""
BATCH = 8
"""windows per run of the model: a fixed number, since results must not depend on --batch-size"""
SCOUTED = 4
"""length that the scout (see `Centring`) decides at a time, as a multiple of a window: such a length has about BATCH
events to centre. With more, centred windows would run in long bursts, which spoil the estimate of the time left."""


class Span(NamedTuple):
    """An event in frames of the recording, [begin, end)."""

    begin: int
    end: int
    label: int
    """index of the label"""


class Centring:
    """Stage between the join of windows and the decisions of one recording, which replaces posteriors around events.

    A row has a frame's frame posteriors and clip posteriors, as `Join.add` returns them; rows are held back until no
    event can change them any more. The scout finds the events to centre: it makes the same decisions as the
    recording's, from the joined posteriors. Memory is bounded by the scout's delay and a few windows of audio and
    posteriors. Events too long to have AROUND seconds on both sides in a window are not centred.
    """

    def __init__(self, *, plan: WindowPlan, predictor: Predictor, scout: Decisions) -> None:
        """
        Args:
            plan: positions of the windows.
            predictor: the model.
            scout: decisions of the recording's post-processing, without any frames yet.
        """
        self._plan, self._predictor, self._scout = plan, predictor, scout
        self._classes = len(predictor.labels)
        # Windows start on the encoder's grid of frames: shifting its patches also moves the borders, by up to 0.05 s.
        seconds = (predictor.encoder_seconds, AROUND)
        self._step, self._around = (max(1, round(s / predictor.frame_seconds)) for s in seconds)
        # Frames of the longest event that is centred; the grid moves its window by up to half a step.
        self._longest = plan.frames - 2 * self._around - self._step
        self._rows = np.zeros((0, 2 * self._classes), np.float32)
        self._first = 0  # frame of the first row that is held
        self._audio, self._received = np.zeros(0, np.float32), 0  # the samples that are held; number of all so far
        self._waiting: list[Span] = []

    def add(self, window: Window, rows: np.ndarray) -> np.ndarray:
        """Take the rows (n, 2 * classes) that the join returned for a window; return those that are final now.

        With the last window of a recording (`next_first` None), these are all that are left.
        """
        last = window.next_first is None
        if last and window.first is None:  # the recording's only window: nothing is joined
            return rows
        new = window.samples[self._received - window.start * self._plan.frame_samples :]
        self._audio, self._received = np.concatenate([self._audio, new]), self._received + len(new)
        self._rows = np.concatenate([self._rows, rows])
        found = self._scout.push(rows[:, : self._classes], rows[:, self._classes :])
        if last:
            found += self._scout.finish()
        spans = map(self._span, found)
        self._waiting += [s for s in spans if self._plan.shared(s.begin, s.end) and s.end - s.begin <= self._longest]
        ready = [span for span in self._waiting if last or self._is_covered(span)]
        self._centre(ready)
        self._waiting = [span for span in self._waiting if span not in ready]
        return self._release(self._first + len(self._rows) if last else self._final())

    def _is_covered(self, span: Span) -> bool:
        """Return whether the samples of the span's window, and the frames that it may change, are available."""
        received = self._received // self._plan.frame_samples
        return self._start(span) + self._plan.frames <= received and (
            span.end + self._around <= self._first + len(self._rows)
        )

    def _span(self, found: Detection) -> Span:
        onset, offset, label = found.event
        begin, end = (round(seconds / self._predictor.frame_seconds) for seconds in (onset, offset))
        return Span(begin, end, self._predictor.labels.index(label))

    def _start(self, span: Span) -> int:
        """Return the first frame of the span's window, on the encoder's grid, which has the span in its middle."""
        middle = (span.begin + span.end - self._plan.frames) / 2
        return max(0, round(middle / self._step) * self._step)

    def _centre(self, spans: list[Span]) -> None:
        """Run the model on windows centred on the spans and use their posteriors there."""
        received = -(-self._received // self._plan.frame_samples)  # in frames, the last of which may be partial
        # The first start on the grid from which a window reaches the end of the audio: later ones would be shorter.
        latest = max(0, -(-(received - self._plan.frames) // self._step) * self._step)
        by_start: dict[int, list[Span]] = {}
        for span in sorted(spans):
            by_start.setdefault(min(self._start(span), latest), []).append(span)
        starts = list(by_start)
        for at in range(0, len(starts), BATCH):
            batch = starts[at : at + BATCH]
            frame, clip, _ = predict_windows(self._predictor, [self._cut(start) for start in batch])
            for start, frames, tags in zip(batch, frame, clip, strict=True):
                for span in by_start[start]:
                    self._replace(span, start, frames[:, span.label], tags[span.label])

    def _cut(self, start: int) -> np.ndarray:
        """Return the samples of the window that begins at frame `start`."""
        begin = start * self._plan.frame_samples - (self._received - len(self._audio))
        return self._audio[begin : begin + self._plan.samples]

    def _replace(self, span: Span, start: int, frame: np.ndarray, clip: float) -> None:
        """Blend a centred window's posteriors of the span's label into the rows of the span and around it.

        Args:
            span: the event.
            start: first frame of the window.
            frame: (frames,) the window's frame posteriors of the label.
            clip: its clip posterior of the label.
        """
        low = max(span.begin - self._around, start, self._first)
        high = min(span.end + self._around, start + len(frame), self._first + len(self._rows))
        number = np.arange(low, high)
        # Distance from the event in frames, 0 inside it.
        outside = np.maximum(np.maximum(span.begin - number, number - span.end + 1), 0)
        share = np.clip(2 - 2 * outside / self._around, 0, 1).astype(np.float32)
        rows = self._rows[low - self._first : high - self._first]
        for column, values in ((span.label, frame[low - start : high - start]), (self._classes + span.label, clip)):
            rows[:, column] += share * (values - rows[:, column])

    def _final(self) -> int:
        """Return the frame before which nothing changes any more."""
        open_from = self._scout.open_from(self._longest)
        return min([open_from, *(span.begin for span in self._waiting)]) - self._around

    def _release(self, until: int) -> np.ndarray:
        """Return the rows before frame `until`, and drop them and the audio that is not needed any more."""
        count = max(0, until - self._first)
        out, self._rows = self._rows[:count], self._rows[count:]
        self._first += count
        # Events that are still open may need windows that begin up to a window's length before the first row.
        needed = max(0, self._first - self._plan.frames) * self._plan.frame_samples
        self._audio = self._audio[max(0, needed - (self._received - len(self._audio))) :]
        return out
