"""Random ground truth, detections and scores on a coarse grid, so that collars and overlaps are often met exactly."""

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.events import EventTable, merge_overlaps
from sed.evaluation.metrics.task import Problem

LABELS = ["b_label", "a_label", "c&<label>"]


def table(rng, clips, classes, count, grid, length):
    """Return `count` random events, some of them merged, at multiples of `grid` s in clips of `length` s."""
    onset = rng.integers(0, round(length / grid), count) * grid
    offset = np.minimum(onset + rng.integers(1, 12, count) * grid, length)
    clip, label = rng.integers(clips, size=count), rng.integers(classes, size=count)
    keep = offset > onset
    made = EventTable.of(clip[keep], label[keep], onset[keep].round(3), offset[keep].round(3))
    return merge_overlaps(made)[0]


def problem(seed, clips=5, classes=3, events=12, grid=0.1, length=4.0):
    """Return a problem with random ground truth; `grid` and `length` of clips are in seconds."""
    rng = np.random.default_rng(seed)
    truth = table(rng, clips, classes, events, grid, length)
    return Problem(
        clips=[f"clip{i}" for i in range(clips)],
        labels=LABELS[:classes],
        durations=np.full(clips, length),
        truth=truth,
    )


def detections(seed, problem, count=20, grid=0.1):
    """Return `count` random events and some events of the ground truth, partly shorter or longer, as one table.

    Some of the longer ones end after their clip, by up to 0.2 s.
    """
    rng = np.random.default_rng(seed + 10_000)
    made = table(rng, len(problem.clips), len(problem.labels), count, grid, problem.durations[0])
    # about 0.6 of the true events, some shorter or longer by 0.1 or 0.2 s at both ends, at the edge of collars and
    # intersections
    truth = problem.truth
    shift = rng.choice([-0.2, -0.1, 0.0, 0.0, 0.1, 0.2], len(truth))
    onset, offset = np.maximum(truth.onset + shift, 0).round(3), (truth.offset - shift).round(3)
    keep = (offset > onset) & (rng.random(len(truth)) < 0.6)
    both = [np.concatenate([getattr(made, key), column[keep]]) for key, column in (
        ("clip", truth.clip), ("label", truth.label), ("onset", onset), ("offset", offset))]  # fmt: skip
    return merge_overlaps(EventTable.of(*both))[0]


def scores(seed, problem, frames=40):
    """Return random scores of `frames` frames per clip, on a grid of 0.01 with many ties.

    They are higher from 0.1 s before each true event to 0.2 s after it, where two of a label are near even above 1.
    """
    rng = np.random.default_rng(seed + 20_000)
    clips, classes = len(problem.clips), len(problem.labels)
    borders = np.round(np.linspace(0, problem.durations[0], frames + 1), 6)
    values = rng.random((clips * frames, classes)) * 0.5
    for clip, label, onset, offset in zip(
        problem.truth.clip, problem.truth.label, problem.truth.onset, problem.truth.offset, strict=True
    ):
        rows = clip * frames + np.arange(frames)
        inside = (borders[:-1] >= onset - 0.1) & (borders[1:] <= offset + 0.2)
        values[rows[inside], label] += rng.random() * 0.5
    return FrameScores(
        clips=problem.clips,
        labels=problem.labels,
        start=np.arange(clips + 1) * frames,
        onset=np.tile(borders[:-1], clips),
        offset=np.tile(borders[1:], clips),
        values=np.round(values, 2),
    )
