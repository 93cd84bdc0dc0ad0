"""Validation scores that select the best epoch, from post-processed posteriors of a labelled set (`SCORES`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sed.data.scores import FrameScores, Scores
from sed.evaluation.alignment import align, read_reference, scores_for
from sed.evaluation.inference import silence_padding
from sed.evaluation.metrics.f1 import event_counts
from sed.evaluation.metrics.psds import PSDS1, exact
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.options import options_of, resolve
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.submission import Submission


def event_f1(problem: Problem, scores: FrameScores, post: PostProcessing) -> float:
    """Return the macro event-based F1 of post-processed scores.

    Args:
        problem: clips, classes and ground truth.
        scores: post-processed posteriors.
        post: its thresholds make the decisions.

    Returns:
        F1 from 0 to 1.
    """
    return float(event_counts(problem, post.threshold.decide(scores)).total().macro())


def psds1(problem: Problem, scores: FrameScores, _post: PostProcessing) -> float:
    """Return the threshold-free PSDS1 of post-processed scores.

    Args:
        problem: clips, classes and ground truth.
        scores: post-processed posteriors.
        _post: unused; PSDS has no threshold.

    Returns:
        PSDS1 from 0 to 1.
    """
    return exact(problem, PSDS1, scores)[0].value


def psds1_class_mean(problem: Problem, scores: FrameScores, _post: PostProcessing) -> float:
    """Return the mean over classes of threshold-free PSDS1, without the spread that PSDS1 subtracts (alpha_st 0).

    Args:
        problem: clips, classes and ground truth.
        scores: post-processed posteriors.
        _post: unused; PSDS has no threshold.

    Returns:
        The mean, from 0 to 1.
    """
    return exact(problem, PSDS1, scores)[0].class_mean


SCORES: dict[str, Callable[[Problem, FrameScores, PostProcessing], float]] = {
    "event_f1": event_f1,
    "psds1": psds1,
    "psds1_class_mean": psds1_class_mean,
}


class Selection:
    """Scorer of one set.

    It is called with frame posteriors (clips, frames, classes) and clip posteriors (clips, classes), and returns a
    number from 0 to 1.
    """

    def __init__(
        self,
        score: str,
        dump: Path,
        *,
        clips: Sequence[str],
        labels: Sequence[str],
        frame_seconds: float,
        post_processing: str = "paper",
    ) -> None:
        """
        Args:
            score: name of a score in `SCORES`.
            dump: folder of the dumped set, with events.tsv and durations.tsv.
            clips: the set's clips in the order of the posteriors.
            labels: the classes.
            frame_seconds: length of a frame in seconds.
            post_processing: none, paper, or steps separated by commas, as `--post-processing` (`PAPER` of
                `postprocessing.options`).

        Raises:
            UserError: as `read_reference`, such as for a set without events; or `labels` lacks a label of the events.
        """
        self._score, self._frame_seconds = SCORES[score], frame_seconds
        reference = read_reference(dump / "events.tsv", dump / "durations.tsv")
        self._seconds = np.array([reference.durations[clip] for clip in clips])
        # no file of scores: `align` needs its clips and labels only, and the path for messages
        output = Submission(kind="scores.h5", path=dump, clips=list(clips), labels=list(labels))
        self._problem, _ = align(output, reference, labels=None, only_scored=False, allow_missing=False)
        self._post = resolve(options_of(post_processing=post_processing), labels)
        self._clips, self._labels = list(clips), list(labels)

    def __call__(self, frame: np.ndarray, clip: np.ndarray) -> float:
        frame = frame.copy()
        silence_padding(frame, self._seconds, self._frame_seconds)
        scores = Scores(
            clips=self._clips, labels=self._labels, frame=frame, clip=clip, frame_seconds=self._frame_seconds
        )
        return self._score(self._problem, self._post.apply(scores_for(self._problem, scores.flat())), self._post)
