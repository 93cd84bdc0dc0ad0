"""Partial area under the ROC of segments, averaged over classes: mpAUC of DCASE 2024 task 4, also called pAUROC.

A segment's score is the highest of the frames that overlap it; it is positive if a true event of the class overlaps it.
As in sed_scores_eval, the area is that below a staircase instead of trapezoids: at a false positive rate x the ROC has
the highest true positive rate that is reached at no more than x. Tests compare with `segment_based.auroc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.jit import compiled
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Values, mean_of_known
from sed.evaluation.metrics.task import Problem

SEGMENT = 1.0  # seconds: length of a segment
MAX_FPR = 0.1  # largest false positive rate, a share of the negative segments, as in DCASE 2024 task 4
DECIMALS = 6  # of times in seconds, as sed_scores_eval rounds them


@dataclass(frozen=True, kw_only=True)
class Segments:
    """Segments of all clips in order: index of the clip (segments,), score and truth (segments, classes with truth)."""

    clip: np.ndarray
    score: np.ndarray
    positive: np.ndarray

    @staticmethod
    def of(problem: Problem, scores: FrameScores) -> Segments:
        """Return the segments of a problem's clips, whose scores are in the same order."""
        counts = np.ceil(problem.durations / SEGMENT).astype(int)
        first = np.concatenate([[0], np.cumsum(counts)])
        score = np.zeros((first[-1], len(problem.present)), scores.values.dtype)
        for clip in range(len(problem.clips)):
            rows = slice(int(scores.start[clip]), int(scores.start[clip + 1]))
            borders = np.round(np.append(scores.onset[rows], scores.offset[rows][-1:]), DECIMALS)
            begin = np.round(np.arange(counts[clip]) * SEGMENT, DECIMALS)
            end = np.round(np.arange(1, counts[clip] + 1) * SEGMENT, DECIMALS)
            # the limits: scores may begin after the clip's start, or end before its end
            low = np.maximum(np.searchsorted(borders, begin, "right") - 1, 0)
            high = np.minimum(np.searchsorted(borders, end, "left"), len(borders) - 1)
            values = scores.values[rows][:, problem.present]
            for place in np.flatnonzero(high > low):  # a segment beyond the scores has the score 0
                score[first[clip] + place] = values[low[place] : high[place]].max(0)
        return Segments(clip=np.repeat(np.arange(len(counts)), counts), score=score, positive=_positive(problem, first))

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """Return the areas (bootstrap samples, classes with truth) up to MAX_FPR, divided by it.

        weights: (bootstrap samples, clips) how often each clip is drawn. An area is NaN where a sample has no positive
        or no negative segment of a class.
        """
        found = np.empty((len(weights), self.score.shape[1]))
        for column in range(found.shape[1]):
            order = np.argsort(-self.score[:, column], kind="stable")
            ordered = self.clip[order], self.score[order, column], self.positive[order, column]
            _areas(weights, *ordered, MAX_FPR, found[:, column])
        return found


def _positive(problem: Problem, first: np.ndarray) -> np.ndarray:
    """Return which segments a true event overlaps (segments, classes with truth); first: each clip's first segment."""
    positive = np.zeros((first[-1], len(problem.labels)), bool)
    table = problem.truth
    begin = np.floor(table.onset / SEGMENT).astype(int)
    end = np.ceil(table.offset / SEGMENT).astype(int)
    for clip, label, low, high in zip(table.clip, table.label, begin, end, strict=True):
        positive[first[clip] + low : min(first[clip] + high, first[clip + 1]), label] = True
    return positive[:, problem.present]


@compiled
def _areas(weights, clip, score, positive, max_fpr, out):  # type: ignore[no-untyped-def]
    """Fill `out` (samples,) with the area under the ROC up to max_fpr, divided by it; segments by falling score."""
    for sample in range(weights.shape[0]):
        positives, negatives = 0.0, 0.0
        for row in range(len(clip)):
            if positive[row]:
                positives += weights[sample, clip[row]]
            else:
                negatives += weights[sample, clip[row]]
        if positives == 0.0 or negatives == 0.0:
            out[sample] = np.nan
            continue
        found, false, area, before, height = 0.0, 0.0, 0.0, 0.0, 0.0
        row = 0
        while row < len(clip):
            here = score[row]
            while row < len(clip) and score[row] == here:
                if positive[row]:
                    found += weights[sample, clip[row]]
                else:
                    false += weights[sample, clip[row]]
                row += 1
            if false / negatives > max_fpr:
                break
            area += height * (false / negatives - before)  # a staircase, as sed_scores_eval's
            before, height = false / negatives, found / positives
        out[sample] = (area + height * (max_fpr - before)) / max_fpr


class MeasuredAUC(Measured):
    """Partial areas of the classes, and the segments that they were computed from."""

    def __init__(self, problem: Problem, segments: Segments) -> None:
        self._problem, self._segments = problem, segments
        self._areas = segments.areas(np.ones((1, len(problem.clips))))[0]

    def numbers(self) -> Mapping[str, float]:
        """Return the mean over classes."""
        return {"segment_mpauc": float(mean_of_known(self._areas))}

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return each class's area."""
        column = np.full(len(self._problem.labels), np.nan)
        column[self._problem.present] = self._areas
        return {"segment_pauc": column}

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return a single function."""
        return {"segment_mpauc": self._sample}

    def _sample(self, weights: np.ndarray) -> Values:
        areas = self._segments.areas(weights)
        labels = [self._problem.labels[index] for index in self._problem.present]
        of_classes = {f"{label}\tsegment_pauc": areas[:, column] for column, label in enumerate(labels)}
        return {"segment_mpauc": mean_of_known(areas), **of_classes}


class SegmentAUC(Metric):
    """Mean partial AUC of segments of one second."""

    entries = (
        Entry(
            key="segment_mpauc",
            title="mpAUC of segments",
            heading="mpAUC",
            counted_by="ROC of 1 s segments, false positive rates up to 0.1, as sed_scores_eval",
            per_cent=False,
            optional=True,
            classes=(("segment_pauc", "pAUC"),),
            shown=frozenset({"closing"}),
            undefined="true in every segment",
        ),
    )

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Segments]]:
        """Return one task; none without scores."""
        scores = inputs.scores
        return {} if scores is None else {"segments": lambda: Segments.of(inputs.problem, scores)}

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> MeasuredAUC:
        """Return the areas of the segments."""
        return MeasuredAUC(inputs.problem, done["segments"])


SEGMENT_AUC = SegmentAUC()
