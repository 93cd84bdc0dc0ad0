"""Cross-fitting: each half of a test set is decided with post-processing tuned on the other half.

No clip is decided with parameters tuned on its own labels, but labels of the test set are used. The result shows what
post-processing could reach; report it beside a result that was tuned on another set, not instead. Clips of one video
are in the same half. The halves are those of github.com/mcjoshi/DecoderFirst: parity of the MD5 of the YouTube id, or
of the clip's name if it has no id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sed.data.download.audioset import candidates
from sed.data.scores import FrameScores
from sed.errors import UserError
from sed.evaluation.alignment import Decisions, scores_for
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.options import check_tuned
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.stored import to_stored
from sed.evaluation.postprocessing.tuning import tune
from sed.evaluation.submission import Submission

HALVES = 2
COLUMNS = ("clip", "label", "onset", "offset")  # of an EventTable


def half_of(clip: str) -> int:
    """Return the half, 0 or 1, that a clip belongs to."""
    videos = [key.video for key in candidates(clip)]  # one id: candidates differ in their times
    return int(hashlib.md5((videos or [clip])[0].encode(), usedforsecurity=False).hexdigest(), 16) % HALVES


def cross_fit(
    problem: Problem, submission: Submission, post: PostProcessing, what: Sequence[str], *, points: int
) -> tuple[Decisions, PostProcessing, dict[str, Any]]:
    """Detect events in each half of the clips by post-processing that was tuned on the other half.

    Args:
        problem: clips, classes and ground truth.
        submission: frame scores of the clips.
        post: steps to start from.
        what: names of the steps to tune, and `threshold`, as in `tune`.
        points: number of operating points.

    Returns:
        The decisions; `post` with the parameters it came with, and `tuned_on` naming the other half; and, for
        result.json, {`cross_fitted`: `what`, and the number of clips and the parameters of each half}.

    Raises:
        UserError: the submission has no scores, or lacks clip posteriors that a step needs; `post` lacks a step
            to tune; or a half has no clips or no events.
    """
    if submission.scores is None:
        raise UserError(f"--cross-fit: {submission.path} has decisions, which cannot be tuned (leave it out)")
    check_tuned("--cross-fit", what, post)
    raw = scores_for(problem, submission.scores)
    halves = np.array([half_of(clip) for clip in problem.clips])
    parts: list[FrameScores] = []
    found: list[EventTable] = []
    chosen = []
    for half in range(HALVES):
        own, other = np.flatnonzero(halves == half), np.flatnonzero(halves != half)
        learned = _part(problem, other)
        if not len(own) or not len(learned.truth):
            raise UserError(f"--cross-fit: a half of the {len(problem.clips)} clips has no events (use a larger set)")
        tuned = tune(learned, raw.select(learned.clips), post, what)
        processed = tuned.apply(raw.select([problem.clips[row] for row in own]))
        table = tuned.threshold.decide(processed)
        found.append(replace(table, clip=own[table.clip]))
        parts.append(processed)
        chosen.append({"clips": len(own), "post_processing": to_stored(tuned)})
    processed = FrameScores.joined(parts).select(problem.clips)
    decisions = Decisions(
        detections=EventTable.of(*(np.concatenate([getattr(t, key) for t in found]) for key in COLUMNS)),
        points=decode(processed, operating_points(points)),
        scores=processed,
        raw=raw,
        thresholds=None,  # those of the halves differ
    )
    tuned_on = f"the other half of this set, for each half ({', '.join(what)})"
    return decisions, replace(post, tuned_on=tuned_on), {"cross_fitted": {"what": list(what), "halves": chosen}}


def _part(problem: Problem, rows: np.ndarray) -> Problem:
    """Return the problem restricted to some clips; rows: their indices."""
    new_row = np.full(len(problem.clips), -1)  # -1: not among the clips
    new_row[rows] = np.arange(len(rows))
    truth = problem.truth.where(new_row[problem.truth.clip] >= 0)
    return Problem(
        clips=[problem.clips[row] for row in rows],
        labels=problem.labels,
        durations=problem.durations[rows],
        truth=replace(truth, clip=new_row[truth.clip]),
    )
