import json
import os

import pytest
from options import post_processing_options
from paths import ROOT

from sed.errors import UserError
from sed.evaluation.postprocessing import stored
from sed.evaluation.postprocessing.csebbs import BoxParameters, Csebbs
from sed.evaluation.postprocessing.maximum import Maximum
from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.options import resolve
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask

LABELS = ["a", "b"]
POST = PostProcessing(
    steps=[
        Csebbs({"a": BoxParameters(0.2, 0.1, 2), "b": BoxParameters()}),
        Maximum({"a": 0.1, "b": 0.2}),
        WeakMask(),
        Median({"a": 0.3, "b": 0.4}),
    ],
    threshold=Threshold({"a": 0.3, "b": 0.6}),
)
# As commit c6f5938 wrote it, without the number of its format.
EARLIER = {
    "steps": ["csebbs", "maximum", "weak_mask", "median"],
    "median_seconds": {"a": 0.3, "b": 0.4},
    "maximum_seconds": {"a": 0.1, "b": 0.2},
    "csebbs": {
        "a": {"filter_seconds": 0.2, "absolute": 0.1, "relative": 2},
        "b": {"filter_seconds": 0.64, "absolute": 0.3, "relative": 3.0},
    },
    "threshold": {"a": 0.3, "b": 0.6},
}


def test_the_stored_form_is_the_earlier_one_and_the_number_of_its_format():
    assert stored.to_stored(POST) == {**EARLIER, "format": 2}
    assert stored.from_stored(json.loads(json.dumps(stored.to_stored(POST))), LABELS, "x") == POST
    assert "threshold" not in stored.steps_dict(POST)


def test_the_stored_form_of_c6f5938_is_read():
    assert stored.from_stored(EARLIER, LABELS, "x") == POST


def test_a_result_of_decisions_has_no_thresholds():
    post = stored.from_stored({"steps": [], "threshold": None}, LABELS, "x")
    assert post == PostProcessing(steps=[], threshold=Threshold({"a": 0.5, "b": 0.5}))


def test_of_an_experiment_the_newest_result_counts(tmp_path):
    assert stored.of_experiment(tmp_path, LABELS) == (None, None)
    for age, (name, form) in enumerate({"new": stored.steps_dict(POST), "old": {"steps": []}}.items()):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "result.json"
        path.write_text(json.dumps({"post_processing": form, "threshold": {"a": 0.3, "b": 0.6}}))
        os.utime(path, (1e9 - age, 1e9 - age))
    assert stored.of_experiment(tmp_path, LABELS) == (POST, tmp_path / "new" / "result.json")
    (tmp_path / "new" / "result.json").write_text('{"post_processing": 3}')
    with pytest.raises(UserError, match=r"result.json: not a result of stage 5: .* \(score again\)"):
        stored.of_experiment(tmp_path, LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "file: post-processing of format 3, and this version reads up to 2"),
        ({"format": "new"}, "file: broken post-processing: format 'new' .pack"),
        ({"steps": ["median", "smooth"]}, "unknown step 'smooth' .this version has weak_mask"),
        ({"steps": None}, "broken"),
        ({"median_seconds": {"a": 0.1}}, "broken post-processing: no 'b'"),
        ({"median_seconds": {"a": 0.1, "b": "long"}}, "broken post-processing: could not convert"),
        ({"median_seconds": {"a": 10**400, "b": 0.1}}, "broken post-processing: int too large"),
        ({"csebbs": {}}, "broken"),
        ({"threshold": {"a": 0.1}}, "broken"),
    ],
)
@pytest.mark.parametrize("base", [EARLIER, {**EARLIER, "format": 2}])
def test_broken_forms_are_one_line(base, change, message):
    with pytest.raises(UserError, match=message) as error:
        stored.from_stored({**base, **change}, LABELS, "file")
    assert "\n" not in str(error.value)


def test_results_compare_whatever_their_format():
    now, before = {"post_processing": stored.steps_dict(POST)}, dict(EARLIER)
    del before["threshold"]
    assert stored.comparable(now) == stored.comparable({"post_processing": before}) == {**before, "threshold": None}
    assert stored.comparable(now) != stored.comparable({"post_processing": {**before, "steps": []}})
    assert stored.comparable({}) is None


def test_given_thresholds_are_compared_and_tuned_ones_are_not():
    plain = {"post_processing": stored.steps_dict(POST)}
    low, high = ({**plain, "threshold": dict.fromkeys(LABELS, value)} for value in (0.3, 0.6))
    assert stored.comparable(low) == stored.comparable(dict(low)) != stored.comparable(high)
    tuned = [{**one, "tuned_on": "synth_valid (threshold)"} for one in (low, high)]
    assert stored.comparable(tuned[0]) == stored.comparable(tuned[1]) != stored.comparable(low)
    fitted = {**low, "tuned_on": "the other half of this set, for each half (threshold)"}
    assert stored.comparable(fitted) not in [stored.comparable(one) for one in (low, tuned[0])]


def test_a_tuned_file_brings_everything_back_and_refuses_its_own_clips(tmp_path):
    path = tmp_path / "tuned.json"
    post = PostProcessing(steps=POST.steps, threshold=POST.threshold, tuned_on="other")
    stored.write_tuned(path, post, clips=["y", "x"], facts={"tuned": ["csebbs", "threshold"], "git": "abc"})
    again = stored.read_tuned(path, LABELS)
    assert (again.steps, again.threshold) == (POST.steps, POST.threshold)
    assert again.tuned_on == "other (csebbs, threshold)"
    stored.refuse_own_clips(path, ["elsewhere"])
    with pytest.raises(UserError, match="tuned on other, which holds 1 of the clips to be scored, such as x"):
        stored.refuse_own_clips(path, ["elsewhere", "x"])
    with pytest.raises(UserError, match="another label set: b, c differ"):
        stored.read_tuned(path, ["a", "c"])
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": ["smooth"]}))
    with pytest.raises(UserError, match=r"unknown step 'smooth' .* \(tune again\)"):
        stored.read_tuned(path, LABELS)
    for text in ("{}", "[]", "not json"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"not written by|not JSON"):
            stored.read_tuned(path, LABELS)
    with pytest.raises(UserError, match="no such file"):
        stored.read_tuned(tmp_path / "missing.json", LABELS)


def test_tuned_files_of_format_1_are_read():
    path = ROOT / "tests/fixtures/csebbs_format_1.json"  # written by commit 6d6ae23
    before = json.loads(path.read_text())
    assert before["format"] == 1
    labels = sorted(before["threshold"])
    post = resolve(post_processing_options("--tuned", str(path)), labels)
    assert post.names == ["csebbs"] and post.tuned_on == "public_eval (csebbs, threshold)"
    assert {label: list(box) for label, box in post.steps[0].by_label.items()} == before["csebbs"]
    assert post.threshold.by_label == before["threshold"]
    filters = stored.from_stored({**before, "steps": ["median", "maximum"]}, labels, "x")
    assert [step.by_label for step in filters.steps] == [before["median"], before["maximum"]]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 2),
        ("median_seconds", 3601),
        *((key, value) for key in ("threshold", "median_seconds") for value in (-0.1, float("nan"), float("inf"))),
    ],
)
def test_numbers_that_the_option_would_refuse_are_refused_in_files(key, value):
    with pytest.raises(UserError, match=r"model\.json: broken post-processing: .* out of range"):
        stored.from_stored({**EARLIER, key: {"a": value, "b": 0.5}}, LABELS, "model.json")
