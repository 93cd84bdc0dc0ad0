"""Cross-fitting: a half's own labels do not affect its decisions, and tuning the halves by hand gives the same."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem, scores

from sed.errors import UserError
from sed.evaluation.alignment import Decisions
from sed.evaluation.cross_fitting import cross_fit, half_of
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.options import options_of, resolve
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.tuning import tune
from sed.evaluation.submission import Submission

WHAT = ["csebbs", "threshold"]
TASK = problem(3, clips=12, classes=2, events=60)
SCORES = scores(3, TASK)
HALVES = np.array([half_of(clip) for clip in TASK.clips])


def post_of(task: Problem, steps: str = "csebbs") -> PostProcessing:
    return resolve(options_of(post_processing=steps), task.labels)


def fitted(task: Problem) -> tuple[Decisions, PostProcessing, dict[str, Any]]:
    submission = Submission(kind="scores.h5", path=Path("x.h5"), clips=task.clips, labels=task.labels, scores=SCORES)
    return cross_fit(task, submission, post_of(task), WHAT, points=10)


def test_clips_of_one_video_are_in_the_half_that_the_published_rule_gives() -> None:
    video = "0vg5A6QZbQo"
    half = int(hashlib.md5(video.encode()).hexdigest(), 16) % 2
    assert [half_of(f"{name}_30.000_40.000") for name in (video, f"Y{video}")] == [half, half]
    assert {half_of(f"{video}_{start}.000_{start + 10}.000") for start in range(0, 200, 10)} == {half}
    assert {half_of(f"clip{number}") for number in range(9)} == {0, 1}


@pytest.mark.thorough
def test_each_half_is_decided_by_what_the_other_chose() -> None:
    decisions, post, facts = fitted(TASK)
    assert decisions.scores is not None and decisions.detections is not None
    assert post.tuned_on == "the other half of this set, for each half (csebbs, threshold)"
    assert [half["clips"] for half in facts["cross_fitted"]["halves"]] == [sum(HALVES == 0), sum(HALVES == 1)]
    for half in (0, 1):
        others = [clip for clip, own in zip(TASK.clips, HALVES, strict=True) if own != half]
        rows = [TASK.clips.index(clip) for clip in others]
        kept = TASK.truth.where(np.isin(TASK.truth.clip, rows))
        truth = replace(kept, clip=np.array([rows.index(clip) for clip in kept.clip]))
        learned = Problem(clips=others, labels=TASK.labels, durations=TASK.durations[rows], truth=truth)
        tuned = tune(learned, SCORES.select(others), post_of(TASK), WHAT)
        mine = [clip for clip, own in zip(TASK.clips, HALVES, strict=True) if own == half]
        by_hand, found = tuned.apply(SCORES.select(mine)), decisions.scores.select(mine)
        for column in ("values", "onset", "offset", "start"):
            np.testing.assert_array_equal(getattr(found, column), getattr(by_hand, column))
        events = tuned.threshold.decide(by_hand)
        own = decisions.detections.where(HALVES[decisions.detections.clip] == half)
        assert [TASK.clips[clip] for clip in own.clip] == [mine[clip] for clip in events.clip]
        for column in ("label", "onset", "offset"):
            np.testing.assert_array_equal(getattr(own, column), getattr(events, column))


@pytest.mark.thorough
def test_a_half_s_own_labels_do_not_change_its_scores() -> None:
    other = replace(TASK, truth=TASK.truth.where((HALVES[TASK.truth.clip] == 1) | (TASK.truth.label == 0)))
    (before, *_), (after, *_) = fitted(TASK), fitted(other)
    assert len(other.truth) < len(TASK.truth) and before.scores is not None and after.scores is not None
    mine = [clip for clip, half in zip(TASK.clips, HALVES, strict=True) if half == 0]
    np.testing.assert_array_equal(before.scores.select(mine).values, after.scores.select(mine).values)
    theirs = [clip for clip, half in zip(TASK.clips, HALVES, strict=True) if half == 1]
    one, two = (decisions.scores.select(theirs) for decisions in (before, after) if decisions.scores is not None)
    assert len(one.values) != len(two.values) or (one.values != two.values).any(), "the other half's labels count"


def test_what_cannot_be_cross_fitted_is_refused() -> None:
    lonely = replace(TASK, truth=TASK.truth.where(HALVES[TASK.truth.clip] == 1))
    with pytest.raises(UserError, match="a half of the 12 clips has no events"):
        fitted(lonely)
    decided = Submission(kind="detections", path=Path("found.tsv"), clips=TASK.clips)
    with pytest.raises(UserError, match=r"found\.tsv has decisions, which cannot be tuned"):
        cross_fit(TASK, decided, post_of(TASK), WHAT, points=10)
    with pytest.raises(UserError, match=r"--cross-fit csebbs: that step is not in --post-processing .median\)"):
        cross_fit(TASK, replace(decided, scores=SCORES), post_of(TASK, "median"), WHAT, points=10)
