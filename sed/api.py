"""The Python API: open a model, detect events in recordings or streams, read event tables, score.

    import sed

    model = sed.load("kitchen-model")
    for event in model.detect("clip.wav"):
        print(event.onset, event.offset, event.label, event.score)

Everything here is reached as `sed.NAME`; `import sed` alone loads neither PyTorch nor NumPy. A model, a recording or a
table that cannot be used raises `sed.UserError`, whose message says what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from sed.data.arrays import mono_blocks, mono_stream
from sed.data.audio import resampled
from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError
from sed.evaluation.postprocessing.options import options_of
from sed.parallel import MOST_THREADS, free_processors
from sed.prediction.decisions import Detection
from sed.prediction.predictor import Predictor, predict_windows, window_geometry
from sed.prediction.recording import BaseSink, Track, refuse_short, run
from sed.prediction.session import open_predictor
from sed.prediction.sources import read_recording
from sed.prediction.windows import Window, WindowPlan

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing

Recording = str | Path | np.ndarray
"""a file, or samples of shape (samples,), (samples, channels) or (channels, samples): floating point in [-1, 1], or
integers, whose full scale counts as 1"""
WHICH, PRECISIONS = ("teacher", "student"), ("float32", "bfloat16", "int8")
Recordings = list[str] | list[Path] | list[np.ndarray] | list[Recording] | tuple[Recording, ...]
Events = str | Path | Mapping[str, Sequence[Event]]
"""what `read_events` reads, or {clip: its events}"""


@contextmanager
def _argument_names(options: str = "[a-z][a-z-]*") -> Iterator[None]:
    """Context in which errors about an option of a command name the argument: `hop` for `--live-hop`.

    `options`: pattern of the options that are arguments here, without `--live-` or `--`; others are left as they are.
    """
    try:
        yield
    except UserError as error:
        option = rf"(?<![^\s(])--(?:live-)?({options})(?![a-z-])"  # not in the name of a file
        message = re.sub(option, lambda match: match[1].replace("-", "_"), str(error))
        raise UserError(message) from None


class DetectedEvent(NamedTuple):
    """An event that a model found; onset and offset in seconds from the recording's start."""

    onset: float
    offset: float
    label: str
    score: float
    """mean posterior of the label over the event, before post-processing"""


class _Posteriors(BaseSink):
    """Sink that keeps a recording's frame posteriors."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []

    def posteriors(self, frames: np.ndarray) -> None:
        self._pieces.append(frames)

    def whole(self, classes: int) -> np.ndarray:
        """Return all posteriors so far, (frames, classes)."""
        return np.concatenate([np.zeros((0, classes), np.float32), *self._pieces])


class _Newest(BaseSink):
    """Sink that keeps the events decided since the last call of `take`."""

    def __init__(self) -> None:
        self._events: list[Detection] = []

    def detections(self, detections: Sequence[Detection]) -> None:
        self._events += detections

    def take(self) -> list[DetectedEvent]:
        """Return the new events, and forget them."""
        taken, self._events = self._events, []
        return [_event(detection) for detection in taken]


@dataclass(frozen=True)
class Model:
    """A model that is ready to detect events; `sed.load` makes it.

    Attributes:
        predictor: the network and its front end.
        post_processing: the filters and thresholds that turn posteriors into events.
        name: where it was loaded from.
    """

    predictor: Predictor
    post_processing: PostProcessing
    name: str

    def __repr__(self) -> str:
        return f"<sed.Model {self.name}: {len(self.labels)} labels, {self.sample_rate} Hz>"

    @property
    def labels(self) -> list[str]:
        """Labels in the order of the posteriors' columns."""
        return list(self.predictor.labels)

    @property
    def sample_rate(self) -> int:
        """Sampling rate of the model in Hz; recordings of other rates are resampled."""
        return self.predictor.rate

    @property
    def frame_seconds(self) -> float:
        """Length of a frame of the posteriors in seconds."""
        return self.predictor.frame_seconds

    @overload
    def detect(
        self,
        recording: Recording,
        rate: int | None = None,
        *,
        threshold: float | Mapping[str, float] | None = None,
        overlap: float | None = None,
        centre_events: bool | None = None,
        batch_size: int = 0,
    ) -> list[DetectedEvent]: ...
    @overload
    def detect(
        self,
        recording: Recordings,
        rate: int | None = None,
        *,
        threshold: float | Mapping[str, float] | None = None,
        overlap: float | None = None,
        centre_events: bool | None = None,
        batch_size: int = 0,
    ) -> list[list[DetectedEvent]]: ...
    def detect(
        self,
        recording: Recording | Recordings,
        rate: int | None = None,
        *,
        threshold: float | Mapping[str, float] | None = None,
        overlap: float | None = None,
        centre_events: bool | None = None,
        batch_size: int = 0,
    ) -> list[DetectedEvent] | list[list[DetectedEvent]]:
        """Return the events of a recording, in order of their onsets.

        Args:
            recording: a file, an array of samples, or a list or tuple of these, whose windows share batches.
            rate: sampling rate of arrays in Hz; unused for files.
            threshold: one threshold for all labels, 0 to 1, or {label: threshold}; labels that are not named, and all
                labels with None, keep the model's.
            overlap: overlap of windows in seconds, in recordings longer than a window; None: as stored with the model,
                else 0.8 of a window.
            centre_events: run the model again on events that windows share, each in the middle of a window; None: as
                stored with the model, else True.
            batch_size: windows per batch; 0: 8, on a GPU 32.

        Returns:
            The events; for a list or tuple of recordings, the events of each, in its order.

        Raises:
            UserError: a recording cannot be read or is too short, an array comes without its rate, a label is unknown,
                or a threshold, the overlap, the rate or the batch size is out of range.
        """
        post = self.post_processing if threshold is None else self._with_threshold(threshold)
        sources: Sequence[Recording] = recording if isinstance(recording, list | tuple) else [recording]
        sinks = [BaseSink() for _ in sources]
        tracks = self._run(
            sources, rate, sinks, post, overlap=overlap, centre_events=centre_events, batch_size=batch_size
        )
        events = [[_event(detection) for detection in track.result.detections] for track in tracks]
        return events if isinstance(recording, list | tuple) else events[0]

    def posteriors(
        self,
        recording: Recording,
        rate: int | None = None,
        *,
        overlap: float | None = None,
        centre_events: bool | None = None,
        batch_size: int = 0,
    ) -> np.ndarray:
        """Return the frame posteriors of a recording: joined over windows, before post-processing.

        Args:
            recording: a file, or an array of samples.
            rate: sampling rate of an array in Hz.
            overlap: as in `detect`.
            centre_events: as in `detect`.
            batch_size: as in `detect`.

        Returns:
            (frames, labels) float32 in [0, 1]; frame i begins at i * `frame_seconds`. Frames reach to the last
            window's end; those beyond the recording's end are 0.

        Raises:
            UserError: as `detect`.
        """
        sink = _Posteriors()
        self._run(
            [recording],
            rate,
            [sink],
            self.post_processing,
            overlap=overlap,
            centre_events=centre_events,
            batch_size=batch_size,
        )
        return sink.whole(len(self.labels))

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        rate: int,
        *,
        threshold: float | Mapping[str, float] | None = None,
        hop: float = 1.0,
        lookahead: float = 0.5,
    ) -> Iterator[DetectedEvent]:
        """Yield the events of a stream as soon as they are decided, in constant memory.

        Args:
            blocks: arrays of samples as they arrive, each as in `detect`; empty ones are skipped. The shorter axis of
                the first block with two axes holds the channels of all blocks.
            rate: sampling rate of the blocks in Hz.
            threshold: as in `detect`.
            hop: seconds between two runs of the model.
            lookahead: seconds of later audio that the model gets before a frame's posterior counts. An event is decided
                at most hop + lookahead + the reach of post-processing (a median filter: half its length) after its end.

        Yields:
            Events, with times from the start of the stream.

        Raises:
            UserError: samples are not finite, a block has another number of channels than the first with two axes, a
                label is unknown, a threshold or the rate is out of range, the stream or the hop is shorter than the
                shortest audio that the front end takes, hop or lookahead is negative, or both together exceed the
                model's window.
        """
        post = self.post_processing if threshold is None else self._with_threshold(threshold)
        with _argument_names():
            plan = WindowPlan.live(
                **window_geometry(self.predictor), min_samples=self.predictor.min_samples, hop=hop, lookahead=lookahead
            )
        sink = _Newest()
        track = Track.of("the stream", self.predictor, post, plan, sink=sink, live=True)
        samples = resampled(mono_stream(blocks, "the stream"), rate, self.sample_rate)
        for window in plan.grow(track.passed_on(samples)):
            refuse_short(track, window, self.predictor)
            output = predict_windows(self.predictor, [window.samples])
            track.take(window, output.frame[0], output.clip[0], output.logmel[0])
            yield from sink.take()

    def _run(
        self,
        sources: Sequence[Recording],
        rate: int | None,
        sinks: Sequence[BaseSink],
        post: PostProcessing,
        *,
        overlap: float | None,
        centre_events: bool | None,
        batch_size: int,
    ) -> list[Track]:
        """Predict on recordings, each with its sink; return their finished tracks. Arguments are those of `detect`."""
        if batch_size < 0:
            raise UserError(f"batch_size {batch_size}: out of range (give 0, the default, or more)")
        settings = self.predictor.windows.changed(overlap=overlap, centre_events=centre_events)
        with _argument_names():
            plan = WindowPlan.overlapping(**window_geometry(self.predictor), overlap=settings.overlap)
        names = [str(source) if isinstance(source, str | Path) else f"array {i}" for i, source in enumerate(sources)]
        tracks = [
            Track.of(name, self.predictor, post, plan, sink=sink, centre=settings.centre_events)
            for name, sink in zip(names, sinks, strict=True)
        ]

        def windows(source: Recording, track: Track) -> Iterator[Window]:
            return plan.cut(track.passed_on(self._blocks(source, rate, track.result.name)))

        def report(_track: Track, problem: str | None) -> None:
            if problem is not None:
                raise UserError(problem)

        cut = (partial(windows, source) for source in sources)
        run(zip(tracks, cut, strict=True), self.predictor, batch_size=batch_size, report=report)
        return tracks

    def _blocks(self, source: Recording, rate: int | None, name: str) -> Iterator[np.ndarray]:
        """Return a recording's mono samples at the model's rate, block by block."""
        if isinstance(source, str | Path):
            return read_recording(str(source), self.sample_rate)
        samples = np.asarray(source)
        if samples.dtype.kind in "OSU":  # a column of file names, a generator, None
            found = f"neither a file nor an array of numbers, but {type(source).__name__} of {samples.dtype}"
            raise UserError(f"{name}: {found} (give several files as a list)")
        if rate is None:
            raise UserError(f"{name}: samples without their rate (detect(samples, 44100))")
        return resampled(mono_blocks(samples, name), rate, self.sample_rate)

    def _with_threshold(self, threshold: float | Mapping[str, float]) -> PostProcessing:
        """Return the model's post-processing with other thresholds."""
        named = threshold if isinstance(threshold, Mapping) else {"*": threshold}
        with _argument_names():
            values = self.post_processing.threshold.with_values(named, self.labels)
        return replace(self.post_processing, threshold=values)


def load(
    model: str | Path,
    *,
    device: str = "auto",
    which: str = "teacher",
    precision: str = "float32",
    threads: int | None = None,
    post_processing: str | None = None,
) -> Model:
    """Open a trained model for detection.

    Args:
        model: an experiment's folder, a checkpoint, a packed model, `hf://organisation/name` of one on a hub, or an
            exported `.onnx` file.
        device: `cpu`, `cuda`, `cuda:1`; `auto`: a GPU if there is one.
        which: network of the mean-teacher pair: `teacher` or `student`; unused for a packed model, which has one.
        precision: number format of the matrix products: `float32`, `bfloat16`, or, on a CPU only, `int8`. For an
            `.onnx` file, `which`, `device` and `precision` are unused.
        threads: processor threads, 1 to 1024; None: as many as there are idle processors.
        post_processing: steps in order as in `--post-processing` of `sed.bin.predict`, such as `weak_mask,median`, or
            `none`; None for the model's, or, if it stores none, the AST-SED paper's (`weak_mask,median`).

    Returns:
        The model.

    Raises:
        UserError: there is no such model, or it cannot be read; or an argument has an unknown value.
        RunError: the hub does not answer.
    """
    for name, value, known in (("which", which, WHICH), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise UserError(f"{name} '{value}': unknown (one of {', '.join(known)})")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UserError(
            f"threads {threads}: 1 to {MOST_THREADS} are expected (None: as many as there are idle processors)"
        )
    threads = free_processors() if threads is None else threads
    onnx = str(model).endswith(".onnx")
    with _argument_names():
        predictor, post, _ = open_predictor(
            model=None if onnx else str(model),
            onnx=str(model) if onnx else None,
            which=which,
            device=device,
            precision=precision,
            threads=threads,
            options=options_of(post_processing=post_processing),
        )
    return Model(predictor, post, str(model))


def read_events(path: str | Path) -> dict[str, list[Event]]:
    """Return {clip: its events} of a table with the columns filename, onset, offset, event_label.

    A label file of another tool (`sed.data.annotations`) and a folder of label files are read, too. Clips that are
    named without an event have an empty list. UserError names the line that cannot be read.
    """
    return by_clip(read_rows(path))


def score(
    predicted: Events,
    truth: Events,
    durations: str | Path | Mapping[str, float],
    *,
    post_processing: str | None = None,
    labels: Sequence[str] | None = None,
    bootstrap: int = 0,
    scores: Sequence[str] = (),
) -> dict[str, Any]:
    """Score detected events against the truth, as `sed.bin.score` does.

    Args:
        predicted: the detected events; or scores, a scores.h5 or a folder of score tables; or a folder of event tables,
            one for each operating point (threshold).
        truth: the true events.
        durations: a table of durations, a folder of the recordings, or {clip: seconds}; the clips that are scored.
        post_processing: steps for scores, as in `load`; None: those of the AST-SED paper (`weak_mask,median`) for a
            scores.h5 of this project, none for other scores.
        labels: the labels to score: of scores, exactly theirs; of events, any that include all labels of these and of
            the truth. None: those of the scores, else those of the truth.
        bootstrap: number of bootstrap samples for 95 % intervals; 0 for none.
        scores: names of metrics that are computed on request, as in `--scores` of `sed.bin.score`.

    Returns:
        The metrics of result.json by name: `event_f1_macro`, `psds1` if there are scores or operating points,
        `per_class` and others; `intervals` with a bootstrap.

    Raises:
        UserError: an input is broken, the inputs do not fit together, or an argument has an unknown value or is out of
            range; the message names file and line, if any.
    """
    from sed.evaluation.scoring import score_events

    with _argument_names("labels|scores"):
        return score_events(
            predicted,
            truth,
            durations,
            post_processing=post_processing,
            labels=labels,
            bootstrap=bootstrap,
            scores=scores,
        )


def _event(detection: Detection) -> DetectedEvent:
    return DetectedEvent(*detection.event, detection.score)
