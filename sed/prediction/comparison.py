"""Comparison of settings of prediction on long recordings, by event-based F1.

Each setting is scored twice: on whole recordings, and on the clips of the model's length that they are cut into, with
true and predicted events cut at the clips' borders.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sed.data.synthesis.signals import RATE
from sed.data.tables import Event
from sed.errors import UserError
from sed.evaluation.metrics.events import EventTable, merge_overlaps
from sed.evaluation.metrics.f1 import Counts, event_counts
from sed.evaluation.metrics.task import Problem
from sed.evaluation.pieces import in_pieces, put_back
from sed.parallel import free_processors
from sed.prediction.predictor import Immediate, Output, Predictor, window_geometry
from sed.prediction.recording import BaseSink, Track, run
from sed.prediction.soundscapes import Recording
from sed.prediction.window_settings import WindowSettings
from sed.prediction.windows import WindowPlan

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing

Found = list[list[Event]]
"""true or predicted events of each recording, or of each clip"""


class Setting(NamedTuple):
    """Counts (recordings, classes) of a setting of prediction.

    Attributes:
        name: name of the setting.
        whole: counts of whole events.
        pieces: counts of events cut at clips' borders.
    """

    name: str
    whole: Counts
    pieces: Counts


class Remembered(Immediate):
    """A predictor that caches its output by the window's samples, because the compared settings share many windows.

    The log-mel of its output is empty, to save memory.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Output:
        keys = [hashlib.blake2b(waveform.tobytes(), digest_size=16).digest() for waveform in waveforms]
        new = {key: waveform for key, waveform in zip(keys, waveforms, strict=True) if key not in self._known}
        if new:
            output = self._predictor(list(new.values()))
            self._known.update(zip(new, zip(output.frame, output.clip, strict=True), strict=True))
        frame, clip = zip(*(self._known[key] for key in keys), strict=True)
        return Output(np.stack(frame), np.stack(clip), [lambda: np.empty((0, 0), np.float32)] * len(keys))


def predict(
    sounds: Sequence[np.ndarray],
    predictor: Predictor,
    post: PostProcessing,
    *,
    windows: WindowSettings,
    batch_size: int = 32,
) -> Found:
    """Detect the events of recordings, as `sed.bin.predict` does.

    Args:
        sounds: samples of each recording, at the predictor's sample rate.
        predictor: the model.
        post: the model's post-processing.
        windows: overlap of the windows, and whether the model runs again on events that they share, each in the middle
            of a window.
        batch_size: windows per batch.

    Returns:
        The events of each recording.
    """
    plan = WindowPlan.overlapping(**window_geometry(predictor), overlap=windows.overlap)
    numbers = range(len(sounds))
    tracks = [Track.of(str(n), predictor, post, plan, sink=BaseSink(), centre=windows.centre_events) for n in numbers]
    # `run` calls each of these with its track, which counts the samples that it passes on.
    cuts = [functools.partial(lambda audio, track: plan.cut(track.passed_on([audio])), audio) for audio in sounds]
    run(zip(tracks, cuts, strict=True), predictor, batch_size=batch_size)
    return [[detection.event for detection in track.result.detections] for track in tracks]


def score(truth: Found, found: Found, seconds: Sequence[float], labels: Sequence[str]) -> Counts:
    """Count the true positives, predicted events and true events of each recording, with sed_eval.

    Args:
        truth: the true events of each recording.
        found: the predicted events of each recording.
        seconds: length of each recording.
        labels: names of the classes.

    Returns:
        Counts (recordings, classes).
    """

    def table(some: Found) -> EventTable:
        rows = [(clip, labels.index(e.label), e.onset, e.offset) for clip, events in enumerate(some) for e in events]
        return EventTable.of(*zip(*rows, strict=True)) if rows else EventTable.of([], [], [], [])

    clips = [str(number) for number in range(len(truth))]
    merged, _ = merge_overlaps(table(truth))
    problem = Problem(clips=clips, labels=list(labels), durations=np.array(seconds, float), truth=merged)
    return event_counts(problem, table(found))


def open_for(recordings: Sequence[Recording], model: str, device: str) -> tuple[Predictor, PostProcessing]:
    """Open a model and its post-processing, with a thread per idle processor.

    Args:
        recordings: long recordings, whose labels must all be labels of the model.
        model: experiment's folder, checkpoint or packed model, or `hf://organisation/name`.
        device: where the model runs: `cpu`, `cuda`, `cuda:1` or `auto`.

    Returns:
        The model and its post-processing.

    Raises:
        UserError: the model or the device cannot be used, or the model lacks a label of the recordings.
        RunError: the hub does not answer.
    """
    from sed.evaluation.postprocessing.options import options_of
    from sed.prediction.session import open_predictor

    predictor, post, _ = open_predictor(
        model=model, onnx=None, which="teacher", device=device, precision="float32",
        threads=free_processors(), options=options_of(),
    )  # fmt: skip
    missing = {event.label for recording in recordings for event in recording.events} - set(predictor.labels)
    if missing:
        raise UserError(
            f"{model}: does not know {', '.join(sorted(missing))} (give sounds with the model's labels only)"
        )
    return predictor, post


def sounds_at(rate: int, recordings: Sequence[Recording]) -> list[np.ndarray]:
    """Return the samples of recordings, resampled to `rate` in Hz."""
    from sed.data.audio import resampled

    return [np.concatenate(list(resampled([one.audio], RATE, rate))) for one in recordings]


class Scorer:
    """Scorer of predictions on recordings, or on the clips of `clip_seconds` that recordings are cut into.

    Predictions on either are scored as whole events and as events cut at clips' borders.
    """

    def __init__(self, recordings: Sequence[Recording], labels: Sequence[str], clip_seconds: float) -> None:
        """
        Args:
            recordings: the recordings with their true events.
            labels: names of the classes.
            clip_seconds: length of a clip; the last of a recording may be shorter.
        """
        self._labels, self._seconds = labels, clip_seconds
        self._truth = [recording.events for recording in recordings]
        self._lengths = [60.0 * recording.minutes for recording in recordings]
        # A rounding error must not add a clip.
        self._clips = [math.ceil(length / clip_seconds - 1e-6) for length in self._lengths]
        self._first = np.cumsum([0, *self._clips])  # index of each recording's first clip among the clips of all
        self._truth_in_pieces = self._cut(self._truth)

    def _cut(self, found: Found) -> Found:
        """Cut the events of each recording at clips' borders; return those of each clip."""
        cut = (in_pieces(*one) for one in zip(found, itertools.repeat(self._seconds), self._clips, strict=False))
        return [piece for pieces in cut for piece in pieces]

    def of_recordings(self, name: str, found: Found) -> Setting:
        """Score the predicted events of each recording."""
        return self._setting(name, found, self._cut(found))

    def of_clips(self, name: str, found: Found) -> Setting:
        """Score the predicted events of each clip; clips are in order, recording by recording."""
        bounds = itertools.pairwise(self._first)
        return self._setting(name, [put_back(found[a:b], self._seconds) for a, b in bounds], found)

    def _setting(self, name: str, whole: Found, pieces: Found) -> Setting:
        lengths = [min(self._seconds, length - k * self._seconds)
                   for length, clips in zip(self._lengths, self._clips, strict=True) for k in range(clips)]  # fmt: skip
        by_clip = score(self._truth_in_pieces, pieces, lengths, self._labels)
        starts = self._first[:-1]
        by_recording = Counts(
            tp=np.add.reduceat(by_clip.tp, starts),
            system=np.add.reduceat(by_clip.system, starts),
            truth=np.add.reduceat(by_clip.truth, starts),
        )
        return Setting(name, score(self._truth, whole, self._lengths, self._labels), by_recording)
