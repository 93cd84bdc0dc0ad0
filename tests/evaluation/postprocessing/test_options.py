import argparse
from dataclasses import replace

import pytest
from options import post_processing_options

from sed.config import Parser
from sed.errors import UserError
from sed.evaluation.postprocessing.class_option import per_class
from sed.evaluation.postprocessing.csebbs import BoxParameters, Csebbs
from sed.evaluation.postprocessing.maximum import Maximum
from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.options import add_arguments, given, options_of, resolve, steps
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.stored import write_tuned
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask

LABELS = ["Dog", "Frying"]
STORED = PostProcessing(
    steps=[Median({"Dog": 1.0, "Frying": 2.0}), Maximum({"Dog": 0.5, "Frying": 0.5})],
    threshold=Threshold({"Dog": 0.3, "Frying": 0.2}),
)


def test_steps_are_named_in_order_or_by_auto_none_and_paper():
    assert steps("paper") == ["weak_mask", "median"] and steps("none") == [] and steps("auto") is None
    assert steps("median, csebbs") == ["median", "csebbs"]
    with pytest.raises(argparse.ArgumentTypeError, match=r"'smooth' is no step \(auto, none, paper, or some of "):
        steps("median,smooth")


def test_steps_from_python_are_refused_as_those_of_a_command_line():
    assert options_of().post_processing is None and options_of(post_processing="none").post_processing == []
    for text in ("", "smooth"):
        with pytest.raises(UserError, match=f"post-processing: '{text}' is no step"):
            options_of(post_processing=text)


@pytest.mark.parametrize("option", ["--median", "--maximum"])
def test_a_filter_that_memory_could_not_hold_is_refused(option):
    resolve(post_processing_options(option, "3600"), LABELS)
    for length in ("1e12", "1e308"):
        with pytest.raises(UserError, match=rf"{option}: .* is out of range \(0.0 to 3600.0\)"):
            resolve(post_processing_options(option, length), LABELS)


def test_options_that_are_not_given_are_none_and_the_help_has_their_defaults():
    assert not given(post_processing_options()) and set(vars(post_processing_options()).values()) == {None}
    typed = ["--post-processing=none", "--median=paper", "--csebbs-absolute=0.3", "--threshold=0.5"]
    assert given(post_processing_options(*typed)) == [text.partition("=")[0] for text in typed]
    parser = Parser("test")
    add_arguments(parser, stored=False)
    help = " ".join(parser.format_help().split())
    assert "(default: None)" not in help
    for default in ("auto", "paper", "0", "0.64", "0.3", "3", "0.5"):
        assert f"(default: {default})" in help


def test_without_stored_post_processing_our_scores_get_the_papers_and_others_none():
    assert resolve(post_processing_options(), LABELS) == PostProcessing(
        steps=[WeakMask(), Median({"Dog": 0.32, "Frying": 3.9})], threshold=Threshold({"Dog": 0.5, "Frying": 0.5})
    )
    assert resolve(post_processing_options(), LABELS, ours=False).names == []
    assert resolve(post_processing_options("--post-processing", "csebbs,median"), LABELS, ours=False).names == [
        "csebbs",
        "median",
    ]


def test_a_filter_after_bounding_boxes_is_warned_of(log_lines):
    for named, warned in (("median,csebbs", 0), ("csebbs,weak_mask", 0), ("maximum,csebbs,median", 1)):
        resolve(post_processing_options("--post-processing", named), LABELS)
        assert [line.startswith("median after csebbs takes the spans") for line in log_lines] == [True] * warned


@pytest.mark.parametrize(
    ("typed", "place", "expected"),
    [
        (["--threshold", "0.5"], None, Threshold({"Dog": 0.5, "Frying": 0.5})),
        (["--median", "paper"], 0, Median({"Dog": 0.32, "Frying": 3.9})),
        (["--maximum", "0"], 1, Maximum({"Dog": 0.0, "Frying": 0.0})),
    ],
)
def test_a_given_option_wins_over_the_stored_also_with_its_default_value(typed, place, expected):
    post = resolve(post_processing_options(*typed), LABELS, stored=STORED)
    assert (post.threshold if place is None else post.steps[place]) == expected
    kept = [one for index, one in enumerate([*post.steps, post.threshold]) if one != expected]
    assert kept == [one for one in (*STORED.steps, STORED.threshold) if type(one) is not type(expected)]


@pytest.mark.parametrize(
    ("typed", "frying"), [("Dog=0.9", 0.2), ("Dog=0.9,*=0.4", 0.4)], ids=["as the model has it", "as the star says"]
)
def test_a_label_that_is_not_named_keeps_its_stored_number_as_in_python(typed, frying):
    post = resolve(post_processing_options("--threshold", typed), LABELS, stored=STORED)
    assert post == replace(STORED, threshold=Threshold({"Dog": 0.9, "Frying": frying}))
    assert post.threshold == STORED.threshold.with_values(per_class(typed), LABELS)
    assert resolve(post_processing_options("--threshold", "Dog=0.9"), LABELS).threshold.by_label["Frying"] == 0.5


def test_a_parameter_of_boxes_that_is_not_named_keeps_its_stored_number():
    boxes = Csebbs({"Dog": BoxParameters(0.4, 0.1, 2.0), "Frying": BoxParameters(0.9, 0.2, 1.5)})
    post = resolve(post_processing_options("--csebbs-filter", "Dog=0.5"), LABELS, stored=replace(STORED, steps=[boxes]))
    assert post.steps == [Csebbs({"Dog": BoxParameters(0.5, 0.1, 2.0), "Frying": BoxParameters(0.9, 0.2, 1.5)})]


def test_what_is_not_given_is_the_stored_and_other_steps_take_their_defaults():
    assert resolve(post_processing_options(), LABELS, stored=STORED) == STORED
    assert resolve(post_processing_options("--post-processing", "auto"), LABELS, stored=STORED) == STORED
    post = resolve(post_processing_options("--post-processing", "maximum,csebbs"), LABELS, stored=STORED)
    assert post.steps == [STORED.steps[1], Csebbs(dict.fromkeys(LABELS, BoxParameters()))]
    assert resolve(post_processing_options("--post-processing", "none"), LABELS, stored=STORED).steps == []


@pytest.mark.parametrize(
    "typed",
    [
        "--post-processing=none",
        "--median=paper",
        "--maximum=0",
        "--threshold=0.5",
        "--csebbs-filter=0.9",
        "--csebbs-filter=0.64",
        "--csebbs-absolute=0.1",
        "--csebbs-relative=3",
    ],
)
def test_a_tuned_file_takes_no_options_beside_it(tmp_path, typed):
    path = tmp_path / "tuned.json"
    write_tuned(path, STORED, clips=["x"], facts={"tuned": ["median"]})
    assert resolve(post_processing_options("--tuned", str(path)), LABELS).steps == STORED.steps
    with pytest.raises(UserError, match=f"--tuned brings its own .*leave out {typed.partition('=')[0]}"):
        resolve(post_processing_options("--tuned", str(path), typed), LABELS)


def test_options_of_steps_that_are_not_used_are_checked_too():
    with pytest.raises(UserError, match="--median: unknown label 'Cat'"):
        resolve(post_processing_options("--post-processing", "csebbs", "--median", "Cat=1"), LABELS)


def test_options_of_steps_that_are_not_applied_are_named_in_a_warning(log_lines):
    resolve(post_processing_options("--post-processing", "median", "--median", "1", "--threshold", "0.4"), LABELS)
    assert log_lines == []
    resolve(post_processing_options("--median", "0.5"), LABELS, ours=False)
    resolve(post_processing_options("--csebbs-filter=0.9", "--csebbs-relative=3"), LABELS)
    assert log_lines == [
        "--median: no effect, since median is not among the steps: none (--post-processing names them)",
        "--csebbs-filter, --csebbs-relative: no effect, since csebbs is not among the steps: weak_mask, median "
        "(--post-processing names them)",
    ]
