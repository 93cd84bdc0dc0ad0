"""Intersection counts of single clips against psds_eval (`test_psds.py` compares the counts of PSDS)."""

import numpy as np
import pytest
from hypothesis import given
from oracles import SLOWLY, psds_eval_directly, seeds
from problems import detections, problem

from sed.evaluation.metrics import f1


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
