"""Thresholds that keep false alarms per hour within a budget, chosen on recordings without events.

Every event found there is a false alarm. Thresholds start from the model's and only rise: the labels with the most
alarms are reduced to an equal number of alarms each, until the total is within the budget.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sed.errors import UserError
from sed.evaluation.postprocessing.threshold import Threshold
from sed.prediction.predictor import Predictor, window_geometry
from sed.prediction.recording import BaseSink, Track, run
from sed.prediction.window_settings import WindowSettings
from sed.prediction.windows import Window, WindowPlan

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing

log = logging.getLogger("sed.tune")
MOST_ROUNDS = 10
"""largest number of times that thresholds are raised and prediction is repeated; usually one is enough, but the
thresholds decide which events are centred, and so the posteriors"""
Read = Callable[[str], Iterator[np.ndarray]]
"""(recording) -> its samples at the model's rate, block by block"""


@dataclass
class FalseAlarms:
    """Events that a model finds in recordings without any: false alarms.

    Attributes:
        seconds: total length of the recordings.
        alarms: {label: number of events}.
        scores: {label: for each event, the post-processed posteriors of its frames and a 0, which separates events}.
    """

    seconds: float = 0.0
    alarms: dict[str, int] = field(default_factory=dict)
    scores: dict[str, list[np.ndarray]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of false alarms of all labels."""
        return sum(self.alarms.values())

    @property
    def hours(self) -> float:
        """Length of the recordings in hours."""
        return self.seconds / 3600


def count_alarms(
    predictor: Predictor,
    post: PostProcessing,
    recordings: Sequence[str],
    read: Read,
    *,
    windows: WindowSettings,
    batch_size: int = 8,
) -> FalseAlarms:
    """Predict on recordings without events, as `predict` does.

    Args:
        predictor: the model.
        post: its post-processing, with the thresholds to try.
        recordings: names of the recordings.
        read: returns the samples of a recording.
        windows: overlap of windows, and whether events are centred.
        batch_size: windows per batch.

    Returns:
        The false alarms.

    Raises:
        UserError: a recording cannot be read.
    """
    found = FalseAlarms(alarms=dict.fromkeys(predictor.labels, 0), scores={label: [] for label in predictor.labels})
    thresholds = np.asarray(post.thresholds(predictor.labels))  # in float64, as `decisions.active_runs` compares
    plan = WindowPlan.overlapping(**window_geometry(predictor), overlap=windows.overlap)

    class Keep(BaseSink):
        """Sink that keeps the posteriors above the thresholds.

        An event that arrives in pieces has a 0 between them, so that `threshold_for` counts each piece: the threshold
        is then too high rather than too low.
        """

        def processed(self, frames: np.ndarray) -> None:
            above = frames > thresholds
            for column, label in enumerate(predictor.labels):
                edges = np.flatnonzero(np.diff(np.concatenate([[0], above[:, column], [0]])))
                for begin, end in edges.reshape(-1, 2):
                    found.scores[label].append(np.append(frames[begin:end, column], np.float32(0)))

    def cut(name: str, track: Track) -> Iterator[Window]:
        return plan.cut(track.passed_on(read(name)))

    def tracks() -> Iterator[tuple[Track, Callable[[Track], Iterator[Window]]]]:
        for name in recordings:
            track = Track.of(name, predictor, post, plan, sink=Keep(), centre=windows.centre_events)
            yield track, partial(cut, name)

    def report(track: Track, problem: str | None) -> None:
        if problem is not None:
            raise UserError(problem)
        found.seconds += track.result.seconds
        for detection in track.result.detections:
            found.alarms[detection.event.label] += 1

    run(tracks(), predictor, batch_size=batch_size, report=report)
    return found


def shares(alarms: Mapping[str, int], allowed: int) -> dict[str, int]:
    """Return how many alarms each label may keep: at most the same number for all.

    What is left of the budget is one more alarm for each of the first labels that would lose alarms.
    """
    cap = max(most for most in range(allowed + 1) if sum(min(count, most) for count in alarms.values()) <= allowed)
    kept = {label: min(count, cap) for label, count in alarms.items()}
    left = allowed - sum(kept.values())
    for label, count in alarms.items():
        if left and kept[label] < count:
            kept[label] += 1
            left -= 1
    return kept


def threshold_for(scores: Sequence[np.ndarray], most: int, lowest: float) -> float:
    """Return the lowest threshold, not below `lowest`, above which these scores have at most `most` events.

    Args:
        scores: post-processed posteriors of the frames of each event, with a 0 after it.
        most: largest number of events, less than there are above `lowest`.
        lowest: the threshold that the events were found with.

    Returns:
        The threshold.
    """
    values = np.concatenate([np.zeros(1, np.float32), *scores, np.zeros(1, np.float32)])
    inner = values[1:-1]
    # As the threshold rises, the number of events falls only when the threshold reaches a local maximum; of equal
    # neighbours, the last is taken as the maximum. Between maxima the number may rise: an event splits into its peaks.
    peaks = np.unique(inner[(inner >= values[:-2]) & (inner > values[2:])])
    if not len(peaks):
        return lowest
    # An event begins between two values if the threshold is at least the first and below the second.
    rises = values[:-1] < values[1:]
    begins, ends = (np.searchsorted(peaks, side[rises]) for side in (values[:-1], values[1:]))
    changes = np.bincount(begins, minlength=len(peaks) + 1) - np.bincount(ends, minlength=len(peaks) + 1)
    events = changes.cumsum()[: len(peaks)]  # above each peak, 0 above the highest
    return max(lowest, float(peaks[np.flatnonzero(events <= most)[0]]))


def keep_budget(
    predictor: Predictor,
    post: PostProcessing,
    recordings: Sequence[str],
    read: Read,
    *,
    per_hour: float,
    windows: WindowSettings,
    batch_size: int = 8,
) -> tuple[PostProcessing, FalseAlarms]:
    """Raise thresholds until recordings without events have no more alarms than a budget allows.

    Args:
        predictor: the model.
        post: its post-processing, whose thresholds are only raised.
        recordings: names of the recordings.
        read: returns the samples of a recording.
        per_hour: the budget: false alarms per hour, above 0, over all labels.
        windows: overlap of windows, and whether events are centred.
        batch_size: windows per batch.

    Returns:
        The post-processing with the new thresholds, and its false alarms, which a warning names if they still exceed
        the budget.

    Raises:
        UserError: a recording cannot be read, or they are too short for the budget.
    """
    for round_ in range(MOST_ROUNDS + 1):
        found = count_alarms(predictor, post, recordings, read, windows=windows, batch_size=batch_size)
        allowed = int(per_hour * found.hours + 1e-9)  # a rounding error must not cost an alarm
        if allowed < 1:
            needed = f"takes {1 / per_hour:.3g} hours of recordings or more, not {found.hours:.3g}"
            raise UserError(f"--alarms-per-hour {per_hour:g}: {needed} (add recordings)")
        if found.total <= allowed:
            break
        if round_ == MOST_ROUNDS:
            log.warning(
                "%d false alarms are left after %d rounds of raising thresholds, the budget is %d (add recordings)",
                *(found.total, MOST_ROUNDS, allowed),
            )
            break
        kept = shares(found.alarms, allowed)
        raised = {
            label: threshold_for(found.scores[label], kept[label], post.threshold.by_label[label])
            if kept[label] < found.alarms[label]
            else post.threshold.by_label[label]
            for label in predictor.labels
        }
        post = replace(post, threshold=Threshold(raised))
    return post, found


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence interval of the mean of a Poisson variable that was observed as `count`.

    Garwood, 1936.
    """
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count else 0.0
    return float(low), float(chi2.ppf(1 - tail, 2 * count + 2) / 2)
