"""Event- and segment-based F1 against sed_eval, intersection-based F1 against psds_eval, called directly."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import SLOWLY, psds_eval_directly, seeds
from problems import detections, problem

from sed.evaluation.metrics import f1
from sed.evaluation.metrics.metric import Inputs
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
    for truth, system, seconds in zip(made.lists(made.truth), made.lists(found), made.durations, strict=True):
        events.evaluate(truth, system)
        segments.evaluate(truth, system, evaluated_length_seconds=float(seconds))
    for metric, counts in ((events, f1.event_counts(made, found)), (segments, f1.segment_counts(made, found))):
        ours = counts.total()
        micro = metric.results_overall_metrics()["f_measure"]["f_measure"]
        assert ours.micro() == pytest.approx(micro, abs=1e-12)
        theirs = [metric.class_wise_f_measure(label)["f_measure"] for label in made.labels]
        has = (made.counts > 0) & ~np.isnan(theirs)  # sed_eval: NaN for segments of a class without any detection
        np.testing.assert_allclose(ours.ratios()["f1"][has], np.array(theirs)[has], atol=1e-12)
        if has[made.present].all():
            assert ours.macro() == pytest.approx(metric.results_class_wise_average_metrics()["f_measure"]["f_measure"])


@SLOWLY
@given(seeds)
def test_onset_only_f1_and_f1_at_each_collar_are_sed_evals(seed):
    made = problem(seed)
    found = detections(seed, made)
    inputs = Inputs(problem=made, detections=found, points=None, scores=None)
    asked = [("onset", f1.ONSET_F1, {"t_collar": 0.2, "evaluate_offset": False})]
    asked += [
        (f"event_{1000 * collar:.0f}ms", metric, {"t_collar": collar})
        for metric, collar in zip(f1.COLLAR_F1, (0.02, 0.05, 0.1, 0.3, 0.5, 1.0), strict=True)
    ]
    for kind, metric, options in asked:
        package = sed_eval().sound_event.EventBasedMetrics(
            event_label_list=made.labels, percentage_of_length=0.2, empty_system_output_handling="zero_score", **options
        )
        for truth, system in zip(made.lists(made.truth), made.lists(found), strict=True):
            package.evaluate(truth, system)
        ours = metric.measured(inputs, {name: task() for name, task in metric.tasks(inputs).items()})
        expected = package.results_overall_metrics()["f_measure"]["f_measure"]
        assert ours.numbers()[f"{kind}_f1_micro"] == pytest.approx(expected, abs=1e-9)
        theirs = [package.class_wise_f_measure(made.labels[index])["f_measure"] for index in made.present]
        assert ours.numbers()[f"{kind}_f1_macro"] == pytest.approx(np.nan_to_num(theirs).mean(), abs=1e-9)


@SLOWLY
@given(seeds, st.integers(0, 20))
def test_intersection_f1_is_averaged_as_psds_eval_does_and_over_all_classes(seed, count):
    made = problem(seed)
    found = detections(seed, made, count=count)
    metric = f1.INTERSECTION_F1
    inputs = Inputs(problem=made, detections=found, points=None, scores=None)
    ours = metric.measured(inputs, {name: task() for name, task in metric.tasks(inputs).items()}).numbers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class without a true positive psds_eval divides 0 by 0
        evaluator = psds_eval_directly(made, [], 0.5, 0.5, 0.3)
        known = made.frame(found.where(np.isin(found.label, made.present)))
        average, of_classes = evaluator.compute_macro_f_score(known)
    assert ours["intersection_f1_macro_psds_eval"] == pytest.approx(average, abs=1e-9, nan_ok=True)
    expected = np.mean(np.nan_to_num([of_classes[made.labels[index]] for index in made.present]))
    assert ours["intersection_f1_macro"] == pytest.approx(expected, abs=1e-9)
