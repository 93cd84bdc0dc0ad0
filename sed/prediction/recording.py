"""Predict on recordings: batch their windows, join each recording's posteriors, decide events, pass all to sinks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sed.errors import UserError
from sed.prediction.centring import SCOUTED, Centring
from sed.prediction.decisions import PIECE, Decisions, Detection
from sed.prediction.predictor import Output, Predictor, begin_windows
from sed.prediction.windows import Join, Window, WindowPlan
from sed.prefetch import prefetched

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing

BATCH = 8  # windows per batch by default
BATCH_ON_GPU = 32


@dataclass
class Result:
    """Results of one recording."""

    name: str
    seconds: float
    """length of the recording"""
    detections: list[Detection] = field(default_factory=list)
    """in order of their onsets; none of a stream, whose events only `Sink.detections` gets"""
    tags: np.ndarray | None = None
    """(classes,) the highest clip posterior of its windows"""
    suppressed: np.ndarray | None = None
    """(classes,) seconds in which the posterior exceeded the threshold before post-processing, but not after it"""


class Sink(Protocol):
    """Receiver of one recording's results as they arrive; either `finish` or `abandon` comes last."""

    uses_logmel: bool
    """whether `logmel` does something: only then it is called; False for sinks of `live`, whose windows begin at other
    distances"""

    def audio(self, samples: np.ndarray) -> None: ...
    def logmel(self, frames: np.ndarray) -> None: ...
    def posteriors(self, frames: np.ndarray) -> None: ...
    def processed(self, frames: np.ndarray) -> None: ...
    def detections(self, detections: Sequence[Detection]) -> None: ...
    def finish(self, result: Result) -> None: ...
    def abandon(self) -> None: ...


class BaseSink:
    """A sink that ignores everything; writers override what they need."""

    uses_logmel = False

    def audio(self, samples: np.ndarray) -> None:
        """Take mono float32 samples at the model's rate."""

    def logmel(self, frames: np.ndarray) -> None:
        """Take log-mel (n, bins), not normalised."""

    def posteriors(self, frames: np.ndarray) -> None:
        """Take frame posteriors (n, classes), before post-processing."""

    def processed(self, frames: np.ndarray) -> None:
        """Take post-processed posteriors (n, classes), which are compared with thresholds; later than `posteriors`."""

    def detections(self, detections: Sequence[Detection]) -> None:
        """Take decided events, some time after they ended."""

    def finish(self, result: Result) -> None:
        """Handle the end of the recording."""

    def abandon(self) -> None:
        """Handle a recording that broke off: leave nothing half-written."""


class Track:
    """One recording in progress: windows in, posteriors and events out."""

    def __init__(
        self,
        name: str,
        *,
        plan: WindowPlan,
        predictor: Predictor,
        decisions: Decisions,
        sink: Sink,
        centring: Centring | None = None,
        live: bool = False,
    ) -> None:
        """
        Args:
            name: name of the recording.
            plan: positions of the windows.
            predictor: the model.
            decisions: post-processing and thresholds, without any frames yet.
            sink: receiver of the results.
            centring: centres events that windows share; None: they are not centred.
            live: the recording is a stream: cut events at the end of the audio received so far.
        """
        self.result = Result(name, 0.0)
        self.failed = False
        self._plan, self._predictor, self._decisions, self._sink = plan, predictor, decisions, sink
        self._centring, self.live = centring, live
        self._classes = len(predictor.labels)
        self._join = Join(plan, self._classes)
        self._samples = 0
        self._reached = 0  # sample at which the newest window that was taken ends

    @classmethod
    def of(
        cls,
        name: str,
        predictor: Predictor,
        post: PostProcessing,
        plan: WindowPlan,
        *,
        sink: Sink,
        centre: bool = False,
        live: bool = False,
    ) -> Track:
        """Begin a recording.

        Args:
            name: name of the recording.
            predictor: the model.
            post: its post-processing.
            plan: positions of the windows.
            sink: receiver of the results.
            centre: run the model again on events that windows share, each in the middle of a window.
            live: the recording is a stream: decide each frame as soon as possible, and cut events at the end of the
                audio received so far.

        Returns:
            The track.
        """

        def decisions(frames: int) -> Decisions:
            return Decisions.of(post, predictor.labels, predictor.frame_seconds, piece=frames)

        # `Centring` finds the events to centre by decisions of its own, the scout.
        scout = decisions(SCOUTED * predictor.frames) if centre else None
        centring = Centring(plan=plan, predictor=predictor, scout=scout) if scout else None
        final = decisions(1 if live else PIECE)
        final.observe = sink.processed
        return cls(name, plan=plan, predictor=predictor, decisions=final, sink=sink, centring=centring, live=live)

    def passed_on(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the recording's blocks, counting them and passing them to the sink."""
        for block in blocks:
            self._samples += len(block)
            self._sink.audio(block)
            yield block

    def take(self, window: Window, frame: np.ndarray, clip: np.ndarray, logmel: Callable[[], np.ndarray]) -> float:
        """Add the model's output for the recording's next window.

        Args:
            window: the window.
            frame: frame posteriors (frames, classes).
            clip: clip posteriors (classes,).
            logmel: returns its log-mel (its frames, bins).

        Returns:
            Seconds of the recording that are in this window and not in earlier ones.
        """
        tags = self.result.tags
        self.result.tags = clip if tags is None else np.maximum(tags, clip)
        rows = self._join.add(window, frame, clip)
        if self._centring is not None:
            rows = self._centring.add(window, rows)
        if self._sink.uses_logmel:
            own = logmel()
            if window.next_first is not None:  # frames that the next window also covers are left to it
                # Counted from the recording's start: a hop may not be a whole number of log-mel frames, and rounding
                # it would add up.
                per_frame = self._predictor.frame_seconds / self._predictor.feature_seconds
                first, end = (round(frame * per_frame) for frame in (window.start, window.start + self._plan.hop))
                own = own[: end - first]
            self._sink.logmel(own)
        self._decide(rows)
        if window.next_first is None:
            self._finish()
        before, self._reached = self._reached, window.start * self._plan.frame_samples + len(window.samples)
        return (self._reached - before) / self._predictor.rate

    def _decide(self, rows: np.ndarray) -> None:
        """Pass on rows of `Join.add`: frame posteriors, then clip posteriors (n, 2 * classes)."""
        frame, clip = rows[:, : self._classes], rows[:, self._classes :]
        self._sink.posteriors(frame)
        self._report(self._decisions.push(frame, clip))

    def _cut(self, found: list[Detection]) -> list[Detection]:
        """Cut a stream's events at the end of the audio received so far; return those of other recordings unchanged."""
        end = self._samples / self._predictor.rate
        if not self.live:
            return found
        cut = [one._replace(event=one.event._replace(offset=min(one.event.offset, end))) for one in found]
        return [one for one in cut if one.event.onset < end]

    def _report(self, found: list[Detection]) -> None:
        if found := self._cut(found):
            if not self.live:  # a stream may have no end
                self.result.detections += found
            self._sink.detections(found)

    def _finish(self) -> None:
        self._report(self._decisions.finish())
        self.result.seconds = self._samples / self._predictor.rate
        self.result.detections.sort()
        self.result.suppressed = self._decisions.suppressed * self._predictor.frame_seconds
        self._sink.finish(self.result)

    def fail(self) -> None:
        """Give up a recording that cannot be read any further, and drop its results."""
        self.failed = True
        self._sink.abandon()


def refuse_short(track: Track, window: Window, predictor: Predictor) -> None:
    """Raise UserError if a recording is shorter than the shortest window that the model takes.

    Args:
        track: the recording.
        window: one of its windows; those after the first have a `first` that is not None, and may be shorter:
            `predictor.predict_windows` pads them.
        predictor: the model.
    """
    if window.first is None and len(window.samples) < predictor.min_samples:
        raise _too_short(track, predictor)


def _too_short(track: Track, predictor: Predictor) -> UserError:
    seconds = predictor.min_samples / predictor.rate
    return UserError(f"{track.result.name}: shorter than the model's {seconds:g} s analysis window (leave it out)")


def run(
    tracks: Iterable[tuple[Track, Callable[[Track], Iterator[Window]]]],
    predictor: Predictor,
    *,
    batch_size: int,
    ahead: bool = True,
    report: Callable[[Track, str | None], None] = lambda _track, _problem: None,
    advance: Callable[[float], object] = lambda _seconds: None,
) -> None:
    """Predict on recordings, in batches of windows that may span several of them.

    Args:
        tracks: recordings, each with a function that cuts it into windows.
        predictor: the model.
        batch_size: windows per batch; 0: BATCH, on a GPU BATCH_ON_GPU.
        ahead: while a GPU computes a batch, read windows of the next in a thread, and take the results of the batch
            before; False for a stream, whose results must not wait for the next window.
        report: called once per recording, with its track and None, or the problem because of which it was given up; not
            called for a stream without samples.
        advance: called with the seconds of audio that are done; what windows share counts once, so that the seconds add
            up to the recordings' lengths.
    """
    ahead = ahead and predictor.concurrent
    batch_size = batch_size or (BATCH_ON_GPU if predictor.concurrent else BATCH)
    begun: list[tuple[list[tuple[Track, Window]], Callable[[], Output]]] = []  # batches that a GPU is computing

    def take() -> None:
        """Wait for the results of the oldest batch and pass them on."""
        windows, finish = begun.pop(0)
        for (track, window), frame, clip, logmel in zip(windows, *finish(), strict=True):
            if track.failed:
                continue
            advance(track.take(window, frame, clip, logmel))
            if window.next_first is None:
                report(track, None)

    def flush() -> None:
        kept = [(track, window) for track, window in batch if not track.failed]
        batch.clear()
        if kept:
            begun.append((kept, begin_windows(predictor, [window.samples for _, window in kept])))
        while len(begun) > ahead:  # True counts as 1: the newest batch stays with the GPU
            take()

    batch: list[tuple[Track, Window]] = []
    with closing(prefetched(_read(tracks, predictor), 2 * batch_size if ahead else 0)) as reads:
        for track, read in reads:
            if isinstance(read, UserError):
                track.fail()
                report(track, str(read))
                continue
            batch.append((track, read))
            if len(batch) == batch_size:
                flush()
        flush()
        while begun:
            take()


def _read(
    tracks: Iterable[tuple[Track, Callable[[Track], Iterator[Window]]]], predictor: Predictor
) -> Generator[tuple[Track, Window | UserError], None, None]:
    """Yield the recordings' windows; for one that cannot be read any further, the error instead of the rest."""
    for track, windows in tracks:
        try:
            empty = True
            for window in windows(track):
                empty = False
                refuse_short(track, window, predictor)
                yield track, window
            if empty and not track.live:  # a few samples at a high rate are none at the model's
                raise _too_short(track, predictor)
        except UserError as error:
            yield track, error
