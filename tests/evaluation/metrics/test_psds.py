"""PSDS against psds_eval and sed_scores_eval, called directly on random detections and ground truth."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import ONE, OWN, SLOWLY, TWO, psds_eval_directly, seeds
from problems import detections, problem, scores

from sed.evaluation.metrics.decode import stack
from sed.evaluation.metrics.events import merge_overlaps
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.psds import count_points, exact, value_of
from sed.evaluation.metrics.psds_resampling import Truth, from_deltas, from_points


@pytest.mark.thorough
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


@pytest.mark.parametrize("parameters", [ONE, TWO])
def test_a_single_class_has_a_psds_without_cross_triggers(parameters):
    made = problem(0, classes=1)
    decoded = stack([detections(point, made) for point in range(3)], len(made.clips), 1)
    value = value_of(made, parameters, count_points(made, parameters, decoded)).value
    plain = replace(parameters, alpha_ct=0.0)
    counts = point_counts(made, plain, decoded)
    once, _ = from_points(Truth.of(made), plain, counts, np.ones((1, len(made.clips))))
    assert value == pytest.approx(once[0], abs=1e-12)
    assert value > 0


@pytest.mark.thorough
@SLOWLY
@given(seeds, st.sampled_from([ONE, TWO, OWN]))
def test_the_mean_over_classes_is_what_both_packages_give_without_alpha_st(seed, parameters):
    made = problem(seed)
    if len(made.present) == 1:
        return  # psds_eval has no value of one class
    tables = [detections(seed + point, made, count=30 - 5 * point) for point in range(4)]
    decoded, frames = stack(tables, len(made.clips), len(made.labels)), scores(seed, made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = psds_eval_directly(made, tables, parameters.dtc, parameters.gtc, parameters.cttc)
        theirs = evaluator.psds(parameters.alpha_ct, 0.0, parameters.e_max).value
    ours = value_of(made, parameters, count_points(made, parameters, decoded))
    assert ours.class_mean == pytest.approx(theirs, abs=1e-9)
    joined, without = made.joined, replace(parameters, alpha_st=0.0)
    assert exact(joined, parameters, frames)[0].class_mean == pytest.approx(
        exact(joined, without, frames)[0].value, abs=1e-9
    )


def test_psds2_is_also_counted_as_psds_eval_did_up_to_04():
    """It divided the sum of a class's K - 1 cross-trigger rates by K."""
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
        frames, truth, dict(zip(made.clips, map(float, made.durations), strict=True)),
        dtc_threshold=parameters.dtc, gtc_threshold=parameters.gtc, cttc_threshold=0.3 if crossing else None,
        alpha_ct=parameters.alpha_ct if crossing else 0.0, alpha_st=1.0, max_efpr=parameters.e_max,
    )  # fmt: skip
    ours, deltas = exact(made, parameters, given_scores)
    assert ours.value == pytest.approx(theirs, abs=1e-12)
    values, areas = from_deltas(Truth.of(made.joined), parameters, deltas, np.ones((1, len(made.clips))))
    assert values[0] == pytest.approx(theirs, abs=1e-12)
    np.testing.assert_allclose(areas[0], [per_class[label] for label in labels], atol=1e-12)
