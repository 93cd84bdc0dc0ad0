"""Choose post-processing for each class on one set, to be used on others.

Filters and boxes are chosen by the class's own area under the PSDS1 curve (its cross-triggers cost nothing, so the
classes are independent), thresholds by the class's event-based F1, exact over all thresholds (sed_scores_eval).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.confidence.resampling import Truth, from_points
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.f1 import OFFSET_SHARE, ONSET_COLLAR
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.psds import PSDS1, score_frames, truth_lists
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.csebbs import BoxParameters
from sed.evaluation.postprocessing.pipeline import PostProcessing

logger = logging.getLogger("sed.tune")

# Seconds, and for boxes the filter, absolute and relative limits: around what systems use.
MEDIAN_GRID = (0.0, 0.1, 0.2, 0.32, 0.5, 0.7, 1.09, 1.5, 2.0, 3.14, 3.9, 4.29)
BOX_GRID = tuple(
    BoxParameters(*values) for values in itertools.product((0.32, 0.48, 0.64, 0.96), (0.1, 0.2, 0.3, 0.4), (1.5, 2, 3))
)


def class_areas(problem: Problem, scores: FrameScores, points: int = 100) -> dict[str, float]:
    """Each class's area under its PSDS1 curve."""
    decoded = decode(scores, operating_points(points))
    counts = point_counts(problem, PSDS1, decoded)
    areas = from_points(Truth.of(problem), PSDS1, counts, np.ones((1, len(problem.clips))))[1][0]
    return dict(zip((problem.labels[i] for i in problem.present), map(float, areas), strict=True))


def _choose(
    problem: Problem, scores: FrameScores, candidates: Iterable[PostProcessing]
) -> tuple[list[float], list[PostProcessing]]:
    """For each label the candidate of the largest area, the first of equals; a class without events takes the first."""
    best = [-1.0] * len(problem.labels)
    chosen: list[PostProcessing] = []
    for number, candidate in enumerate(candidates):
        areas = class_areas(problem, candidate.apply(scores))
        if not chosen:
            chosen = [candidate] * len(problem.labels)
        for index, label in enumerate(problem.labels):
            if areas.get(label, -2.0) > best[index] + 1e-12:
                best[index], chosen[index] = areas[label], candidate
        logger.info("candidate %d: mean area %.4f", number + 1, float(np.mean(list(areas.values()))))
    return best, chosen


def tune_median(problem: Problem, scores: FrameScores, post: PostProcessing) -> PostProcessing:
    """The median window of each class."""
    labels = problem.labels
    grid = [replace(post, median=dict.fromkeys(labels, seconds)) for seconds in MEDIAN_GRID]
    _, chosen = _choose(problem, scores, grid)
    windows = {label: best.median[label] for label, best in zip(labels, chosen, strict=True)}
    return replace(post, median=windows)


def tune_csebbs(problem: Problem, scores: FrameScores, post: PostProcessing) -> PostProcessing:
    """The step filter and merging limits of each class."""
    labels = problem.labels
    grid = [replace(post, csebbs=dict.fromkeys(labels, box)) for box in (BoxParameters(), *BOX_GRID)]
    _, chosen = _choose(problem, scores, grid)
    boxes = {label: best.csebbs[label] for label, best in zip(labels, chosen, strict=True)}
    return replace(post, csebbs=boxes)


def tune_threshold(problem: Problem, scores: FrameScores, post: PostProcessing) -> PostProcessing:
    """The threshold of each class that gives its best event-based F1 after the other steps."""
    package = sed_scores_eval()
    present = [problem.labels[index] for index in problem.present]
    f1, _, _, thresholds, _ = package.collar_based.best_fscore(
        score_frames(problem, post.apply(scores)),
        truth_lists(problem),
        onset_collar=ONSET_COLLAR,
        offset_collar=ONSET_COLLAR,
        offset_collar_rate=OFFSET_SHARE,
    )
    # A class of which no threshold finds an event keeps the usual one.
    found = {label: float(np.clip(thresholds[label], 0.0, 1.0)) for label in present if f1[label] > 0}
    return replace(post, threshold={label: found.get(label, 0.5) for label in problem.labels})


def tune(problem: Problem, scores: FrameScores, post: PostProcessing, what: Sequence[str]) -> PostProcessing:
    """Tune the named things, in the order that they depend on each other."""
    for name, function in (("median", tune_median), ("csebbs", tune_csebbs), ("threshold", tune_threshold)):
        if name in what:
            post = function(problem, scores, post)
    return post
