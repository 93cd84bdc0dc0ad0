"""Ours against sed_eval, psds_eval and sed_scores_eval, called directly on random detections and ground truth."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import detections, problem, scores

from sed.evaluation.metrics import f1
from sed.evaluation.metrics.decode import decode, operating_points, stack
from sed.evaluation.metrics.evaluate import evaluate, summary
from sed.evaluation.metrics.events import merge_overlaps
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.packages import sed_eval, sed_scores_eval
from sed.evaluation.metrics.psds import PSDS1, PSDS2, Parameters, count_points, exact, value_of
from sed.evaluation.metrics.psds_resampling import Truth, from_deltas, from_points

seeds = st.integers(0, 10**6)
# Twenty seconds of audio: one false alarm is 180 an hour, so the limit has to lie higher for a value above 0.
ONE, TWO = replace(PSDS1, e_max=2000.0), replace(PSDS2, e_max=2000.0)
OWN = Parameters(dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=1.0, alpha_st=0.0, e_max=900.0)
SLOWLY = settings(max_examples=8, deadline=None)


def psds_eval_directly(made, tables, dtc, gtc, cttc):
    from psds_eval import PSDSEval

    known = [made.labels[i] for i in made.present]
    evaluator = PSDSEval(
        dtc, gtc, cttc,
        ground_truth=made.frame(made.truth),
        metadata=pd.DataFrame({"filename": made.clips, "duration": made.durations}),
        class_names=known,
    )  # fmt: skip
    for table in tables:
        frame = made.frame(table)
        evaluator.add_operating_point(frame[frame.event_label.isin(known)])
    return evaluator


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


@SLOWLY
@given(seeds)
def test_intersection_counts_are_psds_evals(seed):
    made = problem(seed)
    found = detections(seed, made)
    evaluator = psds_eval_directly(made, [], 0.5, 0.5, 0.3)
    known = np.isin(found.label, made.present)
    _, per_class = evaluator.compute_macro_f_score(made.frame(found.where(known)))
    ours = f1.intersection_counts(made, found).total().ratios()["f1"]
    for index in made.present:
        theirs = per_class[made.labels[index]]
        assert ours[index] == (pytest.approx(theirs) if not np.isnan(theirs) else 0.0)


@SLOWLY
@given(seeds, st.sampled_from([ONE, TWO, OWN]))
def test_psds_of_operating_points_is_psds_evals(seed, parameters):
    made = problem(seed)
    tables = [detections(seed + point, made, count=30 - 5 * point) for point in range(5)]
    decoded = stack(tables, len(made.clips), len(made.labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = psds_eval_directly(made, tables, parameters.dtc, parameters.gtc, parameters.cttc)
        if len(made.present) == 1:
            return  # psds_eval has no value of one class
        psds = evaluator.psds(parameters.alpha_ct, parameters.alpha_st, parameters.e_max)
        curve = evaluator.psd_roc_curves(parameters.alpha_ct)[2]
    ours = value_of(made, parameters, count_points(made, parameters, decoded))
    assert ours.value == pytest.approx(psds.value, abs=1e-12)
    counts = point_counts(made, parameters, decoded)
    for point, theirs in enumerate(evaluator.operating_points.counts):
        order = np.argsort([made.labels[i] for i in made.present])
        np.testing.assert_array_equal(counts.tp[:, point].sum(0)[order], np.diag(theirs)[:-1])
        np.testing.assert_array_equal(counts.fp[:, point].sum(0)[order], theirs[:-1, -1])
        crossed = theirs[:-1, :-1] - np.diag(np.diag(theirs)[:-1])
        np.testing.assert_array_equal(counts.crossed()[point][order][:, order], crossed)
    values, areas = from_points(Truth.of(made), parameters, counts, np.ones((1, len(made.clips))))
    assert values[0] == pytest.approx(psds.value, abs=1e-12)
    for row, label in enumerate(sorted(ours.per_class)):
        theirs = evaluator._auc(curve.xp, curve.yp[row], parameters.e_max) / parameters.e_max
        assert ours.per_class[label] == pytest.approx(theirs, abs=1e-12)
        assert areas[0][[made.labels[i] for i in made.present].index(label)] == pytest.approx(theirs, abs=1e-12)


def test_psds2_as_psds_eval_counted_it_up_to_04():
    """The mean cross-trigger rate over K classes, which 0.4 wrote as a sum over others divided by K."""
    made = problem(3)
    decoded = stack([detections(3 + p, made) for p in range(3)], len(made.clips), len(made.labels))
    points = count_points(made, TWO, decoded)
    classes = len(made.present)
    old = points.assign(ctr=[rates * (classes - 1) / classes for rates in points.ctr])
    expected = value_of(made, TWO, old).value
    assert value_of(made, TWO, points, counted_by_04=True).value == pytest.approx(expected, abs=1e-12)
    counts = point_counts(made, TWO, decoded)
    values, _ = from_points(Truth.of(made), TWO, counts, np.ones((1, len(made.clips))), counted_by_04=True)
    assert values[0] == pytest.approx(expected, abs=1e-12)
    assert expected > value_of(made, TWO, points).value


@SLOWLY
@given(seeds, st.sampled_from([ONE, TWO]))
def test_exact_psds_is_sed_scores_evals(seed, parameters):
    made = problem(seed)
    given_scores = scores(seed, made)
    package = sed_scores_eval()
    labels = [made.labels[i] for i in made.present]
    frames = {
        clip: package.base_modules.scores.create_score_dataframe(
            given_scores.values[rows][:, made.present],
            np.append(given_scores.onset[rows], given_scores.offset[rows][-1:]),
            labels,
        )
        for clip, rows in given_scores.items()
    }
    truth = {clip: [] for clip in made.clips}
    joined = merge_overlaps(made.truth, touching=True)[0]  # sed_scores_eval refuses events that touch
    for event in zip(joined.clip, joined.label, joined.onset, joined.offset, strict=True):
        truth[made.clips[event[0]]].append((event[2], event[3], made.labels[event[1]]))
    crossing = parameters.alpha_ct > 0 and len(labels) > 1
    theirs, per_class, *_ = package.intersection_based.psds(
        frames, truth, dict.fromkeys(made.clips, 4.0),
        dtc_threshold=parameters.dtc, gtc_threshold=parameters.gtc, cttc_threshold=0.3 if crossing else None,
        alpha_ct=parameters.alpha_ct if crossing else 0.0, alpha_st=1.0, max_efpr=parameters.e_max,
    )  # fmt: skip
    ours, deltas = exact(made, parameters, given_scores)
    assert ours.value == pytest.approx(theirs, abs=1e-12)
    values, areas = from_deltas(Truth.of(made.joined), parameters, deltas, np.ones((1, len(made.clips))))
    assert values[0] == pytest.approx(theirs, abs=1e-12)
    np.testing.assert_allclose(areas[0], [per_class[label] for label in labels], atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_resampled_numbers_equal_scoring_the_drawn_clips_anew(seed):
    """A sample that draws a clip twice scores as a set that holds it twice."""
    made = problem(seed, clips=6, events=30)
    given_scores = scores(seed, made)
    drawn = np.random.default_rng(seed).integers(6, size=6)
    weights = np.bincount(drawn, minlength=6).astype(float)[None]
    again = {"clip": [], "label": [], "onset": [], "offset": []}
    for row, clip in enumerate(drawn):
        chosen = made.truth.where(made.truth.clip == clip)
        again["clip"] += [row] * len(chosen)
        for key in ("label", "onset", "offset"):
            again[key] += getattr(chosen, key).tolist()
    copies = [f"copy{row}" for row in range(6)]
    twice = type(made)(
        clips=copies, labels=made.labels, durations=made.durations,
        truth=type(made.truth).of(again["clip"], again["label"], again["onset"], again["offset"]),
    )  # fmt: skip
    of_copies = given_scores.select([made.clips[clip] for clip in drawn])
    of_copies = type(given_scores)(**{**of_copies.__dict__, "clips": copies})
    for parameters in (ONE, TWO):
        expected, _ = exact(twice, parameters, of_copies)
        _, deltas = exact(made, parameters, given_scores)
        value, _ = from_deltas(Truth.of(made.joined), parameters, deltas, weights)
        assert value[0] == pytest.approx(expected.value, abs=1e-12)
        points = operating_points(10)
        expected = value_of(twice, parameters, count_points(twice, parameters, decode(of_copies, points)))
        counts = point_counts(made, parameters, decode(given_scores, points))
        value, _ = from_points(Truth.of(made), parameters, counts, weights)
        assert value[0] == pytest.approx(expected.value, abs=1e-9)


def test_a_class_without_ground_truth_is_reported_and_in_no_average():
    made = problem(1, classes=2)
    three = type(made)(clips=made.clips, labels=[*made.labels, "silent"], durations=made.durations, truth=made.truth)
    found = detections(1, three)
    with_alarms = evaluate(three, detections=found, points=None, scores=None)
    without = evaluate(made, detections=found.where(found.label < 2), points=None, scores=None)
    result, plain = summary(three, with_alarms), summary(made, without)
    assert result["classes_without_ground_truth"] == ["silent"]
    assert result["per_class"]["silent"]["event_f1"] is None
    assert result["event_f1_macro"] == plain["event_f1_macro"]
