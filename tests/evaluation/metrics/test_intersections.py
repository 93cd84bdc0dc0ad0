"""Intersection F1, and counts of detections beyond a recording, against psds_eval; `test_psds.py` has other counts."""

import numpy as np
import pytest
from hypothesis import given
from oracles import SLOWLY, psds_eval_directly, seeds
from problems import detections, problem

from sed.evaluation.metrics import f1
from sed.evaluation.metrics.decode import stack
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.psds import PSDS1
from sed.evaluation.metrics.task import Problem


@SLOWLY
@given(seeds)
def test_f1_of_the_summed_counts_is_psds_evals(seed):
    made = problem(seed)
    found = detections(seed, made)
    evaluator = psds_eval_directly(made, [], 0.5, 0.5, 0.3)
    known = np.isin(found.label, made.present)
    _, per_class = evaluator.compute_macro_f_score(made.frame(found.where(known)))
    ours = f1.intersection_counts(made, found).total().ratios()["f1"]
    for index in made.present:
        theirs = per_class[made.labels[index]]
        assert ours[index] == (pytest.approx(theirs) if not np.isnan(theirs) else 0.0)


def test_detections_after_the_recording_are_no_false_positives_as_in_psds_eval():
    truth = EventTable.of([0, 0], [0, 1], [0.0, 1.0], [1.0, 2.0])
    made = Problem(clips=["p"], labels=["x", "y"], durations=np.array([3.0]), truth=truth)
    table = EventTable.of([0, 0, 0], [0, 0, 0], [2.0, 2.8, 3.5], [2.5, 3.4, 4.0])
    (theirs,) = psds_eval_directly(made, [table], PSDS1.dtc, PSDS1.gtc, PSDS1.cttc).operating_points.counts
    ours = point_counts(made, PSDS1, stack([table], 1, 2))
    assert ours.fp[0, 0].tolist() == theirs[:-1, -1].tolist() == [2, 0]
