"""Scoring of objects, tables and folders in one call; `tests/test_api.py` compares with the command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from sed.data.tables import Event
from sed.errors import UserError
from sed.evaluation.scoring import score_events


def test_f1_of_the_perfect_detector_is_1_and_of_a_silent_one_0() -> None:
    truth = {"a": [Event(1.0, 2.0, "Dog")], "b": [Event(0.5, 4.0, "Cat")], "c": []}
    seconds = {"a": 10.0, "b": 10.0, "c": 10.0}
    perfect = score_events(truth, truth, seconds)
    assert perfect["clips"] == 3
    assert perfect["event_f1_macro"] == perfect["intersection_f1_macro"] == 1
    silent = score_events({clip: [] for clip in truth}, truth, seconds)
    assert silent["event_f1_macro"] == 0


def test_intervals_hold_the_number_itself() -> None:
    rng = np.random.default_rng(0)
    truth = {f"c{i}": [Event(1.0, 2.0 + i % 3, "Dog")] for i in range(40)}
    found = {clip: [event._replace(onset=event.onset + rng.uniform(0, 0.4))] for clip, (event,) in truth.items()}
    result = score_events(found, truth, dict.fromkeys(truth, 10.0), bootstrap=200)
    low, high = result["intervals"]["event_f1_macro"]
    assert low <= result["event_f1_macro"] <= high
    assert low < high


def test_a_label_that_the_truth_lacks_is_named() -> None:
    truth = {"a": [Event(1.0, 2.0, "Dog")]}
    with pytest.raises(UserError, match="<the predicted events>:1: unknown label 'Bird'"):
        score_events({"a": [Event(1.0, 2.0, "Bird")]}, truth, {"a": 10.0})


@pytest.mark.parametrize("kind", [np.array, iter])
def test_labels_may_be_an_array_or_a_generator(kind: Any) -> None:
    events = {"a": [Event(1.0, 2.0, "Dog")]}
    result = score_events(events, events, {"a": 10.0}, labels=kind(["Cat", "Dog"]))
    assert result == score_events(events, events, {"a": 10.0}, labels=["Cat", "Dog"])


@pytest.mark.parametrize("times", [(float("nan"), 2.0), (1.0, float("inf")), (-1.0, 2.0), (2.0, 1.0)])
def test_times_that_a_table_could_not_hold_are_refused(times: tuple[float, float]) -> None:
    good, bad = {"a": [Event(1.0, 2.0, "Dog")]}, {"a": [Event(*times, "Dog")]}
    with pytest.raises(UserError, match="the predicted events: clip 'a': an event from"):
        score_events(bad, good, {"a": 10.0})
    with pytest.raises(UserError, match="the truth: clip 'a': an event from"):
        score_events(good, bad, {"a": 10.0})


def test_an_event_without_a_label_is_refused() -> None:
    events = {"a": [Event(1.0, 2.0, "")]}
    with pytest.raises(UserError, match="the truth: clip 'a': an event without a label"):
        score_events({"a": []}, events, {"a": 10.0})


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1.1e8, 0.0, -1.0])
def test_a_duration_that_a_table_could_not_hold_is_refused(seconds: float) -> None:
    events = {"a": [Event(1.0, 2.0, "Dog")], "b": []}
    with pytest.raises(UserError, match=f"the durations: clip 'b': {seconds} s"):
        score_events(events, events, {"a": 10.0, "b": seconds})


@pytest.mark.parametrize("offset", [1.1e8, 1e300])
def test_a_true_event_without_end_is_refused_and_a_detected_one_is_cut(offset: float) -> None:
    events = {"a": [*(Event(float(i), i + 0.5, "Dog") for i in range(19)), Event(20.0, 21.0, "Dog")]}
    endless = {"a": [*events["a"][:-1], Event(20.0, offset, "Dog")]}
    with pytest.raises(UserError, match=f"<the truth>:20: offset {re.escape(f'{offset:g}')} is above 1"):
        score_events(events, endless, {"a": 30.0})
    assert score_events(endless, events, {"a": 30.0})["event_f1_macro"] == pytest.approx(0.95)


def test_an_unknown_step_is_the_user_s_error(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("onset\toffset\tDog\n0\t10\t0.9\n")
    with pytest.raises(UserError, match="post-processing: 'medain' is no step"):
        score_events(tmp_path, {"a": [Event(1.0, 2.0, "Dog")]}, {"a": 10.0}, post_processing="medain")


def test_the_truth_in_the_scored_folder_is_no_operating_point(tmp_path: Path) -> None:
    head = "filename\tonset\toffset\tevent_label\n"
    (tmp_path / "0.5.tsv").write_text(f"{head}a\t5\t6\tDog\n")
    (tmp_path / "truth.tsv").write_text(f"{head}a\t1\t2\tDog\n")
    assert score_events(tmp_path, tmp_path / "truth.tsv", {"a": 10.0})["psds1"] == 0


def test_durations_in_the_folder_of_the_truth_are_no_truth(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1.0\t2.0\tDog\n")
    (tmp_path / "durations.tsv").write_text("filename\tduration\na\t10\n")
    found = score_events({"a": [Event(1.0, 2.0, "Dog")]}, tmp_path, tmp_path / "durations.tsv")
    assert found["event_f1_macro"] == 1


def test_detections_in_the_folder_of_the_truth_are_no_truth(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1.0\t2.0\tDog\n")
    (tmp_path / "found.tsv").write_text("filename\tonset\toffset\tevent_label\na\t5\t6\tDog\n")
    assert score_events(tmp_path / "found.tsv", tmp_path, {"a": 10.0})["event_f1_macro"] == 0


@pytest.mark.parametrize("odd", [("1", 2.0, "Dog"), (1.0, 2.0), (1.0, 2.0, 3), {"onset": 1.0}, None, "a.tsv"])
def test_what_is_no_event_is_named(odd: Any) -> None:
    good = {"a": [Event(1.0, 2.0, "Dog")]}
    message = f"clip 'a': {odd!r} is no event (onset and offset in seconds and the label are expected)"
    for found, truth, name in (({"a": [odd]}, good, "predicted events"), (good, {"a": [odd]}, "truth")):
        with pytest.raises(UserError, match=re.escape(f"the {name}: {message}")):
            score_events(found, truth, {"a": 10.0})


def test_a_duration_that_is_text_is_named() -> None:
    events, seconds = {"a": [Event(1.0, 2.0, "Dog")]}, cast(Any, {"a": "10"})
    with pytest.raises(UserError, match="the durations: clip 'a': 10 s"):
        score_events(events, events, seconds)


def test_an_unknown_label_in_a_folder_of_label_files_has_no_line_of_the_folder(tmp_path: Path) -> None:
    for name, label in (("truth", "Dog"), ("found", "Bird")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"0.5\t1.5\t{label}\n")
    dog = {"a": [Event(1.0, 2.0, "Dog")]}
    with pytest.raises(UserError, match="found: unknown label 'Bird' of clip a "):
        score_events(tmp_path / "found", dog, {"a": 10.0})
    with pytest.raises(UserError, match="truth: label 'Dog' of clip a is not in the label set"):
        score_events({"a": []}, tmp_path / "truth", {"a": 10.0}, labels=["Cat"])
