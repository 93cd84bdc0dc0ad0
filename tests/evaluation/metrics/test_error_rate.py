"""Error rate of segments: against a count on a grid of seconds, and sed_eval on all clips at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sed_eval
from hypothesis import given, settings
from oracles import seeds
from problems import detections, problem

from sed.evaluation.metrics.error_rate import ERROR_RATE, KEY, error_counts, rate_of
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.metric import Inputs
from sed.evaluation.metrics.task import Problem


def grid(made: Problem, table: EventTable) -> list[np.ndarray]:
    """Return which classes are active in which second of each clip (seconds, classes)."""
    rolls = [np.zeros((math.ceil(seconds), len(made.labels)), bool) for seconds in made.durations]
    for clip, label, onset, offset in zip(table.clip, table.label, table.onset, table.offset, strict=True):
        rolls[clip][math.floor(onset) : math.ceil(offset), label] = True
    return rolls


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_rate_is_that_of_a_grid_and_of_sed_eval(seed: int) -> None:
    made = problem(seed, clips=4)
    found = detections(seed, made)
    counts = error_counts(made, found)
    theirs = sed_eval.sound_event.SegmentBasedMetrics(event_label_list=list(made.labels), time_resolution=1.0)
    inside = made.inside(found)
    for clip, (truth, system) in enumerate(zip(grid(made, made.truth), grid(made, inside), strict=True)):
        missed, false = (truth & ~system).sum(1), (system & ~truth).sum(1)
        both = np.minimum(missed, false)
        assert counts[clip].tolist() == [both.sum(), (missed - both).sum(), (false - both).sum(), truth.sum()]
    for clip, (truth, system) in enumerate(zip(made.lists(made.truth), made.lists(inside), strict=True)):
        theirs.evaluate(truth, system, evaluated_length_seconds=float(made.durations[clip]))
    if counts[:, -1].sum():
        assert rate_of(counts.sum(0)) == pytest.approx(theirs.results_overall_metrics()["error_rate"]["error_rate"])


def test_the_rate_of_a_sample_is_that_of_the_clips_drawn() -> None:
    made = problem(4, clips=6, events=30)
    inputs = Inputs(problem=made, detections=detections(4, made, count=30), points=None, scores=None)
    measured = ERROR_RATE.measured(inputs, {name: task() for name, task in ERROR_RATE.tasks(inputs).items()})
    weights = np.stack([np.ones(6), np.arange(6) % 2])
    sampled = measured.samplers()[KEY](weights)[KEY]
    counts = error_counts(made, detections(4, made, count=30))
    assert sampled[0] == measured.numbers()[KEY] == counts[:, :3].sum() / counts[:, 3].sum()
    assert sampled[1] == counts[1::2, :3].sum() / counts[1::2, 3].sum()


def test_without_active_segments_or_detections_there_is_no_rate() -> None:
    assert np.isnan(rate_of(np.zeros(4)))
    assert ERROR_RATE.tasks(Inputs(problem=problem(4), detections=None, points=None, scores=None)) == {}
