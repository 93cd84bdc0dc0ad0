"""Choose post-processing for each class on one set, to be used on others.

Median filters and bounding boxes (cSEBBs) are chosen by the area under the class's own PSDS1 curve (cross-triggers have
no weight in PSDS1, so classes are independent); then each threshold is that of the class's highest event-based F1
(sed_scores_eval).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sed.data.labels import some_labels
from sed.data.scores import FrameScores
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.f1 import OFFSET_SHARE, ONSET_COLLAR
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.psds import PSDS1, score_frames, truth_lists
from sed.evaluation.metrics.psds_resampling import Truth, from_points
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.registry import TUNABLE
from sed.evaluation.postprocessing.step import Tunable
from sed.evaluation.postprocessing.threshold import DEFAULT, Threshold

logger = logging.getLogger("sed.tune")
FEW = 10
"""number of events of a label; what is tuned on fewer follows single events (our choice)"""


def few_events(problem: Problem) -> str:
    """Return which labels have fewer than FEW events to tune on, in one line, five by name; empty if none has."""
    few = [
        f"{label} {count}" for label, count in zip(problem.labels, problem.counts.tolist(), strict=True) if count < FEW
    ]
    if not few:
        return ""
    listed = some_labels(few, 5)
    return f"few events to tune on ({listed}): what is tuned on fewer than about {FEW} is guesswork (label more)"


def class_areas(problem: Problem, scores: FrameScores, points: int = 100) -> dict[str, float]:
    """Return each class's area under its PSDS1 curve, 0 to 1: the mean true positive rate up to `e_max`.

    Args:
        problem: clips, classes and ground truth of the scores.
        scores: post-processed posteriors.
        points: number of operating points of the curve.

    Returns:
        {label: area} of the classes with ground truth.
    """
    decoded = decode(scores, operating_points(points))
    counts = point_counts(problem, PSDS1, decoded)
    areas = from_points(Truth.of(problem), PSDS1, counts, np.ones((1, len(problem.clips))))[1][0]
    return dict(zip((problem.labels[i] for i in problem.present), map(float, areas), strict=True))


def tune_step(problem: Problem, scores: FrameScores, post: PostProcessing, step: type[Tunable]) -> PostProcessing:
    """Choose a step's parameters for each class among its candidates, the other steps as they are.

    Args:
        problem: clips, classes and ground truth of the scores.
        scores: posteriors before post-processing.
        post: all steps, with the one to tune.
        step: the class of the step to tune.

    Returns:
        The same steps with the best candidate for each class, the first of equally good ones; a class without events
        gets the first candidate.
    """
    best: dict[str, float] = {}
    chosen: dict[str, Tunable] = {}
    for number, candidate in enumerate(step.candidates(problem.labels)):
        areas = class_areas(problem, post.with_step(candidate).apply(scores))
        for label in problem.labels:
            area = areas.get(label, 0.0)  # without events always 0, so that the first candidate stays
            if label not in chosen or area > best[label] + 1e-12:  # 1e-12: a difference by rounding does not count
                best[label], chosen[label] = area, candidate
        logger.info("candidate %d: mean area %.4f", number + 1, float(np.mean(list(areas.values()))))
    return post.with_step(step.combined(chosen))


def tune_threshold(problem: Problem, scores: FrameScores, post: PostProcessing) -> PostProcessing:
    """Choose the threshold of each class that gives its best event-based F1 after the steps.

    Args:
        problem: clips, classes and ground truth of the scores.
        scores: posteriors before post-processing.
        post: the steps.

    Returns:
        The same steps with tuned thresholds; a class without events, or whose F1 is 0 at every threshold,
        gets the default.
    """
    package = sed_scores_eval()
    present = [problem.labels[index] for index in problem.present]
    f1, _, _, thresholds, _ = package.collar_based.best_fscore(
        score_frames(problem, post.apply(scores)),
        truth_lists(problem),
        onset_collar=ONSET_COLLAR,
        offset_collar=ONSET_COLLAR,
        offset_collar_rate=OFFSET_SHARE,
    )
    # The package's threshold is -inf where all detections together are best.
    found = {label: float(np.clip(thresholds[label], 0.0, 1.0)) for label in present if f1[label] > 0}
    return replace(post, threshold=Threshold({label: found.get(label, DEFAULT) for label in problem.labels}))


def tune(problem: Problem, scores: FrameScores, post: PostProcessing, what: Sequence[str]) -> PostProcessing:
    """Tune steps and thresholds.

    Args:
        problem: clips, classes and ground truth of the scores.
        scores: posteriors before post-processing.
        post: the steps to start from.
        what: names of steps in `post` to tune, and `threshold`; thresholds are tuned last, as they depend on the steps.

    Returns:
        The tuned post-processing.
    """
    for name, step in TUNABLE.items():
        if name in what:
            post = tune_step(problem, scores, post, step)
    return tune_threshold(problem, scores, post) if Threshold.name in what else post
