import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from sed.evaluation.alignment import decide_scores
from sed.evaluation.confidence import bootstrap
from sed.evaluation.confidence.paired import System, check_comparable, differences, paired
from sed.evaluation.metrics.evaluate import evaluate, summary
from sed.evaluation.metrics.table import shown_in
from sed.evaluation.postprocessing.median import PAPER_MEDIAN
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.stored import steps_dict
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.reports import experiment
from sed.evaluation.reports.comparison import compare_report
from sed.evaluation.reports.experiment import SECTIONS, report
from sed.evaluation.reports.timeline import Sources

NASTY = ["<script>alert(1)</script>", 'a&b "quoted"', "plain"]


class Elements(HTMLParser):
    """Elements of a page with their attributes, names of those that are still open, and text."""

    VOID = ("meta", "link")  # have no end tag in HTML

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def scored():
    from problems import problem, scores

    made = problem(0, clips=6, events=30)
    made = type(made)(clips=made.clips, labels=NASTY, durations=made.durations, truth=made.truth)
    systems = []
    for seed in range(2):
        frames = scores(seed, made)
        post = PostProcessing(threshold=Threshold(dict.fromkeys(NASTY, 0.5)))
        decisions = decide_scores(made, frames, post, 10)
        evaluation = evaluate(made, detections=decisions.detections, points=decisions.points, scores=frames)
        result = {
            "set": "<b>set</b>", "clips": 6, "clips_expected": 7, "clips_with_output": 6,
            **summary(made, evaluation), "post_processing": steps_dict(post),
            "input": {"kind": "scores.h5", "path": "x"},
            "command": "python3 -m <img src=x>", "git": "abc", "environment": {"python": "3"}, "ground_truth": "g",
        }  # fmt: skip
        names, values = bootstrap.resample(made, evaluation, samples=60)
        assert bootstrap.disagreements(result, names, values) == []
        bootstrap.add_intervals(result, names, values)
        samples = bootstrap.Samples(names=names, values=values, clips=bootstrap.digest(made), seed=0)
        systems.append((made, result, evaluation, decisions, samples))
    return systems


def check_page(text):
    page = Elements(text)
    assert page.open == []
    assert not any(tag in ("script", "iframe", "object", "img") for tag, _ in page.found)
    for tag, attributes in page.found:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3)", text)
    assert NASTY[0] in page.text and NASTY[1] in page.text
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    links = [attributes["href"][1:] for tag, attributes in page.found if tag == "a"]
    assert set(links) <= set(ids)
    return page


def test_a_class_without_ground_truth_is_said_to_count_in_micro_f1_and_in_no_average_over_classes(scored):
    made, result, evaluation, decisions, _ = scored[0]
    result = result | {"classes_without_ground_truth": ["<Dog>"]}
    page = check_page(report("name", result, made, evaluation, decisions, Sources(None, None)))
    assert "in no average over classes" in page.text and "micro F1, count what is detected" in page.text
    assert "<Dog>" in page.text


def test_report_holds_all_sections_and_nothing_active(scored):
    made, result, evaluation, decisions, _ = scored[0]
    text = report("<i>name</i>", result, made, evaluation, decisions, Sources(None, None))
    page = check_page(text)
    for anchor, _ in SECTIONS:
        assert any(attributes.get("id") == anchor for _, attributes in page.found), anchor
    assert "Only 6 of 7 clips are scored" in page.text
    assert f"{100 * result['event_f1_macro']:.2f} %" in page.text
    assert all(entry.meaning and entry.meaning in page.text for entry in shown_in("main"))


def test_numbers_that_were_not_computed_have_no_column_and_undefined_ones_a_reason(scored):
    made, result, evaluation, decisions, _ = scored[0]

    def shown(**more):
        text = report("x", {**result, **more}, made, evaluation, decisions, Sources(None, None))
        return check_page(text).text

    assert "pAUC" not in shown() and "recall" in shown() and "Without " not in shown().split("Classes")[1]
    areas = {label: {**row, "segment_pauc": 0.25} for label, row in result["per_class"].items()}
    undefined = {**areas, "plain": {**areas["plain"], "segment_pauc": None}}
    assert "0.2500" in shown(per_class=areas) and "true in every segment" not in shown(per_class=areas)
    assert "true in every segment" in shown(per_class=undefined)
    only = {"psds1": None, "psds2": None, "input": {**result["input"], "kind": "detections"}}
    assert "Without PSDS1, PSDS2: PSDS needs scores" in shown(**only)
    summaries = [shown(bootstrap={"samples": count}).split("Classes")[1] for count in (0, 10)]
    assert ["95 % interval" in text.replace("95 % intervals", "") for text in summaries] == [False, True]


def test_scores_and_thresholds_of_clips_are_explained_where_they_are_drawn(scored):
    made, result, evaluation, decisions, _ = scored[0]
    tables = replace(decisions, scores=None, thresholds=None)
    without = replace(decisions, thresholds=None)  # as with --event-f1-from
    for given, *expected in ((decisions, True, True), (without, True, False), (tables, False, False)):
        text = report("x", result, made, evaluation, given, Sources(None, None)).split("<h3>Worst")[1]
        assert ["<polyline" in text, "threshold 0.5" in text] == expected
        assert ["Curves: from 0 to 1" in text, "dotted: thresholds" in text] == expected
        assert ("score after post-processing" in text) == expected[0]


def test_a_cross_fitted_page_has_the_parameters_of_both_halves_and_not_those_tuned_from(scored):
    made, result, evaluation, decisions, _ = scored[0]
    tuned = [{"post_processing": {"steps": ["median"], "median_seconds": {"x": seconds}}} for seconds in (0.1, 0.5)]
    post = {"steps": ["median"], "median_seconds": {"x": 0.32}}
    result = {**result, "post_processing": post, "cross_fitted": {"what": ["median"], "halves": tuned}}
    about = report("x", result, made, evaluation, decisions, Sources(None, None)).split('id="about"')[1]
    for half, seconds in enumerate(("0.1", "0.5"), 1):
        assert seconds in about.split(f"<caption>median_seconds, half {half}</caption>")[1].split("</table>")[0]
    assert "0.32" not in about


def test_classes_that_the_table_of_confusions_lacks_are_counted(scored, monkeypatch):
    made, result, evaluation, decisions, _ = scored[0]
    for most, counted in ((3, False), (2, True)):
        monkeypatch.setattr(experiment, "CONFUSED", most)
        text = report("x", result, made, evaluation, decisions, Sources(None, None))
        assert ("Only the 2 of 3 classes with most true events are shown." in text) == counted


def systems_of(scored):
    return [
        System(name=f"exp<{i}>", paths=["result.json"], results=[json.loads(json.dumps(s[1]))], samples=[s[4]])
        for i, s in enumerate(scored)
    ]


def test_the_page_of_a_comparison_holds_nothing_active(scored):
    check_page(compare_report(systems_of(scored)))


def test_paired_differences_are_those_of_the_results(scored):
    a, b = systems_of(scored)
    check_comparable([a, b])
    for d in differences(a, b):
        assert d.value == pytest.approx(b.results[0][d.number] - a.results[0][d.number], abs=1e-9)
        assert d.low <= d.high
    same = paired(a, a, "event_f1_macro")
    assert same.value == same.low == same.high == 0.0 and not same.clear
    seeds = System(name="ab", paths=a.paths * 2, results=a.results + b.results, samples=a.samples + b.samples)
    spread = paired(a, seeds, "event_f1_macro")
    assert spread.value == pytest.approx((b.results[0]["event_f1_macro"] - a.results[0]["event_f1_macro"]) / 2)


@pytest.mark.thorough
def test_scores_of_one_class_have_a_psds():
    from problems import problem, scores

    made = problem(4, classes=1)
    frames = scores(4, made)
    decisions = decide_scores(made, frames, PostProcessing(threshold=Threshold({made.labels[0]: 0.5})), 10)
    evaluation = evaluate(made, detections=decisions.detections, points=decisions.points, scores=frames)
    result = summary(made, evaluation)
    assert result["psds1"] is not None and result["psds2_exact"] is not None
    names, values = bootstrap.resample(made, evaluation, samples=10)
    assert bootstrap.disagreements(result, names, values) == []


def test_the_paper_stands_in_the_page_of_its_own_set_alone(scored):
    made, result, evaluation, decisions, _ = scored[0]

    def shown(**more):
        return report("ast_sed", {**result, **more}, made, evaluation, decisions, Sources(None, None))

    assert "59.60" not in shown() and "published" not in shown().lower()
    classes = dict.fromkeys(PAPER_MEDIAN, result["per_class"]["plain"])
    desed = {"set": "validation", "clips_expected": 1168, "per_class": classes}
    assert "59.60" in shown(**desed) and "Published numbers" in shown(**desed)
    for other in ({"set": "public_eval"}, {"clips_expected": 120}, {"per_class": {"plain": classes["Speech"]}}):
        assert "59.60" not in shown(**{**desed, **other})


def test_a_page_says_what_its_model_started_from(scored):
    made, result, evaluation, decisions, _ = scored[0]

    def shown(**config):
        model = {"config": {"encoder": "ast", **config}}
        return report("x", {**result, "model": model}, made, evaluation, decisions, Sources(None, None))

    assert "Not pretrained" in shown(pretrained="") and "<code>random</code>" in shown(pretrained="none")
    assert "Not pretrained" not in shown() and "<code>unknown</code>" in shown()
    assert "<code>ast.pth</code>" in shown(pretrained="/x/ast.pth")
