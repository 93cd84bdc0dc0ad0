"""Event-based and segment-based F1 against sed_eval, called directly."""

import numpy as np
import pytest
from hypothesis import given
from oracles import SLOWLY, seeds
from problems import detections, problem

from sed.evaluation.metrics import f1
from sed.evaluation.metrics.packages import sed_eval


@SLOWLY
@given(seeds)
def test_event_and_segment_f1_are_sed_evals(seed):
    made = problem(seed)
    found = detections(seed, made)
    events = sed_eval().sound_event.EventBasedMetrics(
        event_label_list=made.labels, t_collar=0.2, percentage_of_length=0.2, empty_system_output_handling="zero_score"
    )
    segments = sed_eval().sound_event.SegmentBasedMetrics(event_label_list=made.labels, time_resolution=1.0)
    for truth, system in zip(made.lists(made.truth), made.lists(found), strict=True):
        events.evaluate(truth, system)
        segments.evaluate(truth, system, evaluated_length_seconds=4.0)
    for metric, counts in ((events, f1.event_counts(made, found)), (segments, f1.segment_counts(made, found))):
        ours = counts.total()
        micro = metric.results_overall_metrics()["f_measure"]["f_measure"]
        assert ours.micro() == pytest.approx(micro, abs=1e-12)
        theirs = [metric.class_wise_f_measure(label)["f_measure"] for label in made.labels]
        has = (made.counts > 0) & ~np.isnan(theirs)  # sed_eval drops segments' classes without any detection
        np.testing.assert_allclose(ours.ratios()["f1"][has], np.array(theirs)[has], atol=1e-12)
        if has[made.present].all():
            assert ours.macro() == pytest.approx(metric.results_class_wise_average_metrics()["f_measure"]["f_measure"])
