import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from sed.errors import UserError
from sed.evaluation.alignment import decide_scores
from sed.evaluation.confidence import bootstrap
from sed.evaluation.confidence.paired import System, check_comparable, differences, load_system, paired
from sed.evaluation.metrics.evaluate import evaluate, summary
from sed.evaluation.metrics.table import BY_KEY, over_seeds
from sed.evaluation.postprocessing.median import PAPER_MEDIAN
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.stored import steps_dict
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.reports.comparison import compare_report
from sed.evaluation.reports.errors import confusion, match, rank_clips
from sed.evaluation.reports.experiment import report
from sed.evaluation.reports.results_table import group, markdown, terminal_table
from sed.evaluation.reports.timeline import Sources
from sed.files import write_json

NASTY = ["<script>alert(1)</script>", 'a&b "quoted"', "plain"]


class Elements(HTMLParser):
    """Every element with its attributes; complains of ones that are left open."""

    VOID = ("meta", "link", "image", "line", "rect", "path", "circle", "polyline", "i")

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


def test_report_holds_all_sections_and_nothing_active(scored):
    made, result, evaluation, decisions, _ = scored[0]
    text = report("<i>name</i>", result, made, evaluation, decisions, Sources(None, None))
    page = check_page(text)
    for anchor in ("summary", "classes", "roc", "boundaries", "recall", "confusion", "clips", "about"):
        assert any(attributes.get("id") == anchor for _, attributes in page.found), anchor
    assert "Only 6 of 7 clips are scored" in page.text
    assert f"{100 * result['event_f1_macro']:.2f} %" in page.text


def systems_of(scored):
    return [
        System(name=f"exp<{i}>", paths=["result.json"], results=[json.loads(json.dumps(s[1]))], samples=[s[4]])
        for i, s in enumerate(scored)
    ]


def test_compare_page_and_paired_differences(scored):
    a, b = systems_of(scored)
    check_comparable([a, b])
    check_page(compare_report([a, b]))
    for d in differences(a, b):
        assert d.value == pytest.approx(b.results[0][d.number] - a.results[0][d.number], abs=1e-9)
        assert d.low <= d.high
    same = paired(a, a, "event_f1_macro")
    assert same.value == same.low == same.high == 0.0 and not same.clear
    seeds = System(name="ab", paths=a.paths * 2, results=a.results + b.results, samples=a.samples + b.samples)
    spread = paired(a, seeds, "event_f1_macro")
    assert spread.value == pytest.approx((b.results[0]["event_f1_macro"] - a.results[0]["event_f1_macro"]) / 2)


def test_other_clips_cannot_be_compared(scored):
    a, b = systems_of(scored)
    other = System(
        name="b", paths=b.paths, results=b.results,
        samples=[bootstrap.Samples(names=b.samples[0].names, values=b.samples[0].values, clips="other", seed=0)],
    )  # fmt: skip
    with pytest.raises(UserError, match="other clips"):
        check_comparable([a, other])


def test_seeds_beside_an_experiment_are_found(scored, tmp_path):
    for name, seed, pooling in (("a", 1, "fte"), ("a-2", 2, "fte"), ("b", 1, "mean")):
        result = {**scored[0][1], "model": {"config": {"seed": seed, "pooling": pooling}}}
        write_json(tmp_path / name / "validation" / "result.json", result)
        bootstrap.save(tmp_path / name / "validation" / "bootstrap.npz", scored[0][4])
    assert len(load_system(str(tmp_path / "a"), seeds=True).results) == 2
    assert len(load_system(str(tmp_path / "a")).results) == 1
    assert len(load_system(f"{tmp_path / 'a'},{tmp_path / 'b'}", seeds=True).results) == 2
    assert len(load_system(str(tmp_path / "b"), seeds=True).results) == 1


def test_samples_survive_the_file(scored, tmp_path):
    samples = scored[0][4]
    bootstrap.save(tmp_path / "bootstrap.npz", samples)
    again = bootstrap.load(tmp_path / "bootstrap.npz")
    assert again.names == samples.names and again.clips == samples.clips
    np.testing.assert_array_equal(again.values, samples.values)
    (tmp_path / "bootstrap.npz").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        bootstrap.load(tmp_path / "bootstrap.npz")


def test_matches_and_confusions_add_up(scored):
    made, _, evaluation, decisions, _ = scored[0]
    matches = match(made, decisions.detections)
    found = evaluation.counts["event"].tp.sum()
    assert abs(matches.hit.sum() - found) <= 2  # sed_eval matches each detection once, optimally
    table = confusion(made, decisions.detections)
    np.testing.assert_array_equal(table.right + table.missed, made.counts[made.present])
    worst, best = rank_clips(evaluation.counts["event"], 2)
    assert not set(worst) & set(best)


def test_results_table_joins_seeds_and_marks_what_is_published(scored, tmp_path):
    found = []
    for seed, name in ((1, "ast_sed"), (2, "ast_sed-2"), (1, "ast_gru")):
        result = json.loads(json.dumps(scored[0][1]))
        result["event_f1_macro"] = 0.5 + 0.1 * seed
        pooling = "mean" if name == "ast_gru" else "fte"
        result["model"] = {"config": {"seed": seed, "pooling": pooling}, "command": "train|it", "parameters": 2e6}
        found.append((tmp_path / name / "validation" / "result.json", result))
    assert "59.60" not in markdown(group(found), {})  # labels of one's own: DESED's numbers say nothing of them
    for _, result in found:
        result["per_class"] = dict(zip(PAPER_MEDIAN, result["per_class"].values(), strict=False))
    rows = group(found)
    assert [(row.name, len(row.results)) for row in rows] == [("ast_sed", 2), ("ast_gru", 1)]
    assert over_seeds(BY_KEY["event_f1_macro"], rows[0].values("event_f1_macro")) == "65.00 ± 7.07"
    text = markdown(rows, {"pooling": "fte"})
    assert "pooling mean (fte)" in text and "59.60 / 0.5140 (DESED validation)" in text
    assert "2.00 M" in text and "arXiv 2303.03689" in text and "6 of 7" in text
    assert "ast_gru" in terminal_table(rows)


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


def test_no_padding_counts_as_sound():
    from sed.evaluation.inference import silence_padding

    frame = np.ones((2, 10, 1), np.float32)
    silence_padding(frame, np.array([1.0, 0.35]), 0.1)
    assert frame[0].all() and frame[1, :4].all() and not frame[1, 4:].any()
