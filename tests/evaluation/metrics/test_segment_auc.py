"""Partial AUC of segments against sed_scores_eval and a sum over every pair of segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from oracles import SLOWLY, seeds
from problems import problem, scores

from sed.evaluation.metrics.metric import Inputs
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.psds import score_frames, truth_lists
from sed.evaluation.metrics.segment_auc import MAX_FPR, SEGMENT_AUC, Segments


@SLOWLY
@given(seeds)
def test_areas_are_those_of_sed_scores_eval_for_clips_of_any_length(seed: int) -> None:
    made = problem(seed, clips=12, events=40)
    frames = scores(seed, made)
    made = replace(made, durations=np.random.default_rng(seed).choice([4.0, 3.95, 4.3, 5.2], 12))
    package = sed_scores_eval().segment_based
    durations = dict(zip(made.clips, map(float, made.durations), strict=True))
    theirs, _ = package.auroc(score_frames(made, frames), truth_lists(made), durations, segment_length=1.0, max_fpr=0.1)
    inputs = Inputs(problem=made, detections=None, points=None, scores=frames)
    found = SEGMENT_AUC.measured(inputs, {name: task() for name, task in SEGMENT_AUC.tasks(inputs).items()})
    assert found.numbers()["segment_mpauc"] == pytest.approx(theirs["mean"], abs=1e-9)
    areas = found.of_classes()["segment_pauc"]
    for index, label in enumerate(made.labels):
        if index in made.present:
            assert areas[index] == pytest.approx(theirs[label], abs=1e-9)
        else:
            assert np.isnan(areas[index])


@SLOWLY
@given(seeds)
def test_drawing_a_clip_twice_is_having_it_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = problem(seed, clips=6, events=30)
    segments = Segments.of(made, scores(seed, made))
    weights = rng.integers(0, 3, (4, 6)).astype(float)
    for drawn, areas in zip(weights.astype(int), segments.areas(weights), strict=True):
        rows = np.concatenate(
            [np.flatnonzero(segments.clip == clip) for clip in np.repeat(np.arange(6), drawn)] or [[]]
        )
        for column, area in enumerate(areas):
            score, positive = segments.score[rows.astype(int), column], segments.positive[rows.astype(int), column]
            if positive.all() or not positive.any():
                assert np.isnan(area)
                continue
            # the area under the staircase: for each rate x, the most that is found at no more than x
            levels = np.unique(score)[::-1]
            rate = np.array([0.0, *((score[~positive] >= level).mean() for level in levels)])
            share = np.array([0.0, *((score[positive] >= level).mean() for level in levels)])
            borders = np.unique(np.append(rate[rate < MAX_FPR], MAX_FPR))
            heights = [share[rate <= border].max() for border in borders[:-1]]
            assert area == pytest.approx(float(np.dot(heights, np.diff(borders)) / MAX_FPR), abs=1e-9)
