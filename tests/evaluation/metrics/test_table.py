"""The metric table agrees with result.json, with the reports that show it and with what is published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from problems import detections, problem, scores

from sed.errors import UserError
from sed.evaluation.confidence import bootstrap
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.evaluate import evaluate, summary
from sed.evaluation.metrics.metric import Place
from sed.evaluation.metrics.table import BY_KEY, ENTRIES, METRICS, ON_REQUEST, chosen, over_seeds, shown_in
from sed.evaluation.reports.published import PUBLISHED

ROOT = Path(__file__).resolve().parents[3]
OWN = {"dtc": 0.5, "gtc": None, "cttc": None, "alpha_ct": None, "alpha_st": None, "e_max": None}


@pytest.fixture(scope="module")
def measured():
    made = problem(0, clips=6, events=30)
    frames = scores(0, made)
    metrics = [metric.configured(OWN) for metric in chosen(["all"])]
    found, points = detections(0, made), decode(frames, operating_points(10))
    evaluation = evaluate(made, detections=found, points=points, scores=frames, raw=frames, metrics=metrics)
    return made, evaluation, summary(made, evaluation)


def test_every_number_of_a_result_is_in_the_table_and_the_other_way_round(measured) -> None:
    _, _, result = measured
    numbers = [key for key in result if key not in ("psd_roc", "classes_without_ground_truth", "per_class")]
    assert numbers == [entry.key for entry in ENTRIES]
    assert len(BY_KEY) == len(ENTRIES)


def test_the_manual_lists_every_name_of_scores() -> None:
    page = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8")
    table = page.split("`--scores NAME,...`", 1)[1].split("\n\n", 2)[1]
    assert sorted(re.findall(r"(?m)^\| `(\w+)` \|", table)) == sorted(ON_REQUEST)


def test_columns_of_the_table_of_classes_are_class_wise_numbers_of_a_result(measured) -> None:
    _, _, result = measured
    for row in result["per_class"].values():
        assert {name for entry in ENTRIES for name, _ in entry.classes} <= set(row)


def test_every_number_has_samples_that_start_with_itself(measured) -> None:
    made, evaluation, result = measured
    names, values = bootstrap.resample(made, evaluation, samples=4)
    assert {entry.key for entry in ENTRIES} <= set(names)
    assert bootstrap.disagreements(result, names, values) == []


def test_scores_on_request_come_after_those_of_every_result_and_leave_no_trace_when_not_asked_for() -> None:
    assert chosen([]) == METRICS
    names = list(ON_REQUEST)
    assert (
        chosen(names[::-1]) == chosen(["all"]) == (*METRICS, *(metric for of in ON_REQUEST.values() for metric in of))
    )
    assert chosen(names[:1]) == (*METRICS, *ON_REQUEST[names[0]])
    assert all(entry.optional for metrics in ON_REQUEST.values() for metric in metrics for entry in metric.entries)
    with pytest.raises(UserError, match="--scores recall: no such scores"):
        chosen(["recall"])


def test_a_number_has_one_unit_and_its_heading_says_which() -> None:
    f1, psds = BY_KEY["event_f1_macro"], BY_KEY["psds1"]
    assert (f1.column, f1.row) == ("EB-F1 %", "EB-F1, macro, %")
    assert (f1.text(0.596), f1.plain(-0.0123, "+")) == ("59.60 %", "-1.23")
    assert (psds.column, psds.row, psds.text(0.514), psds.plain(0.0603, "+")) == ("PSDS1", "PSDS1", "0.5140", "+0.0603")
    assert f1.text(None) == psds.text(None) == "–"


def test_the_mean_over_seeds_has_the_standard_deviation_of_a_sample() -> None:
    # 1, 2 and 6 have the mean 3 and the variance ((-2)^2 + (-1)^2 + 3^2) / 2 = 7
    f1, psds1 = BY_KEY["event_f1_macro"], BY_KEY["psds1"]
    assert over_seeds(f1, [{f1.key: 0.01}, {f1.key: 0.02}, {f1.key: 0.06}]) == "3.00 ± 2.65"
    assert over_seeds(psds1, [{psds1.key: 0.25}]) == "0.2500"
    assert over_seeds(psds1, []) == over_seeds(psds1, [{psds1.key: None}]) == "–"


def test_a_mean_over_some_of_the_seeds_says_of_how_many() -> None:
    f1 = BY_KEY["event_f1_macro"]
    assert over_seeds(f1, [{f1.key: 0.01}, {f1.key: None}, {}]) == "1.00 (1 of 3)"
    assert over_seeds(f1, [{f1.key: 0.01}, {f1.key: 0.03}, {}]) == "2.00 ± 1.41 (2 of 3)"


def test_lower_is_better_is_marked() -> None:
    from dataclasses import replace

    error = replace(BY_KEY["psds1"], higher_is_better=False)
    assert (error.column, error.row) == ("PSDS1 ↓", "PSDS1 ↓")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("terminal", ["EB-F1 %", "segment F1 %", "intersection F1 %", "PSDS1", "PSDS2"]),
        ("main", ["EB-F1 %", "PSDS1", "PSDS2"]),
        ("published", ["EB-F1 %", "PSDS1"]),
    ],
)
def test_a_place_shows_its_main_columns_in_order(place: Place, expected: list[str]) -> None:
    shown = [entry.column for entry in shown_in(place)]
    assert [column for column in shown if column in expected] == expected  # other metrics may be shown, too


def test_published_numbers_are_those_of_the_paper() -> None:
    ast_sed, ast_gru, *_ = PUBLISHED
    assert ast_sed.shown() == ["59.60", "0.5140"] and ast_gru.shown() == ["55.20", "0.4537"]


def test_no_other_module_lists_the_numbers_of_a_result() -> None:
    """A list or table of keys elsewhere would have to be changed with every metric."""
    for path in sorted((ROOT / "sed").rglob("*.py")):
        if path.parent.name == "metrics":
            continue
        text = path.read_text(encoding="utf-8")
        assert len(set(re.findall(r'"(psds[12]_exact|segment_f1_macro|intersection_f1_macro|psds2)"', text))) < 2, path
