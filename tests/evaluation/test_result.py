"""result.json and the files that are written beside it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem, scores

from sed.data.prepare.coverage import write_coverage
from sed.data.store import FeatureWriter
from sed.errors import UserError
from sed.evaluation import result as module
from sed.evaluation.alignment import Coverage, Reference, decide_scores
from sed.evaluation.metrics.evaluate import evaluate
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.submission import Submission


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """Return the arguments of result_of for a random problem."""
    made = problem(0, clips=6, events=30)
    frames = scores(0, made)
    post = PostProcessing(threshold=Threshold(dict.fromkeys(made.labels, 0.5)))
    decisions = decide_scores(made, frames, post, 6)
    evaluation = evaluate(made, detections=decisions.detections, points=decisions.points, scores=frames)
    durations = dict(zip(made.clips, made.durations, strict=True))
    return {
        "problem": made,
        "evaluation": evaluation,
        "submission": Submission(kind="scores.h5", path=Path("exp/x/validation/scores.h5"), clips=made.clips),
        "reference": Reference(
            path=Path("t.tsv"), durations_path=Path("nowhere/d.tsv"), events=[], durations=durations
        ),
        "coverage": Coverage(expected=7, scored=6, with_output=5),
        "decisions": decisions,
        "post": post,
        "set_name": "validation",
    }


def test_a_result_says_what_was_scored_and_how(parts: dict[str, Any]) -> None:
    found = module.result_of(**parts)
    assert (found["clips"], found["clips_expected"], found["clips_with_output"]) == (6, 7, 5)
    assert found["operating_points"] == 6 and found["threshold"] == dict.fromkeys(parts["problem"].labels, 0.5)
    assert found["psds_parameters"] is None and found["model"] is None and found["coverage"] == {}
    json.dumps(found, allow_nan=False)  # raises ValueError for NaN


def test_clips_that_were_never_there_are_expected_all_the_same(parts: dict[str, Any], tmp_path: Path) -> None:
    annotated = {f"clip{k}": ["x"] if k < 9 else ["y"] for k in range(20)}
    write_coverage(tmp_path / "coverage.tsv", "validation", annotated, set(parts["problem"].clips))
    reference = replace(parts["reference"], durations_path=tmp_path / "durations.tsv")
    found = module.result_of(**parts | {"reference": reference})
    assert found["clips_expected"] == 20 and found["coverage"]["x"] == [6, 9]


def test_the_model_is_that_of_the_folder_above_or_the_one_that_is_named(tmp_path: Path) -> None:
    exp = tmp_path / "exp" / "mine"
    (exp / "validation").mkdir(parents=True)
    source = exp / "validation" / "scores.h5"
    assert module.model_info(source, None) is None
    (exp / "info.json").write_text('{"parameters": 5}')
    (exp / "config.yaml").write_text("seed: 3\n")
    found = module.model_info(source, None)
    assert found is not None and (found["parameters"], found["name"], found["config"]["seed"]) == (5, "mine", 3)
    assert module.model_info(tmp_path / "a" / "b" / "scores.h5", str(exp)) == found
    (exp / "info.json").write_text("{")
    with pytest.raises(UserError, match=r"info\.json: not JSON"):
        module.model_info(source, None)


@pytest.mark.parametrize("content", ['{"format": "layers-model"}', '{"info": [], "config": {}}', "[1]"])
def test_files_of_another_program_with_these_names_are_no_model(content: str, tmp_path: Path) -> None:
    for name in ("model.json", "info.json"):
        (tmp_path / name).write_text(content if name == "model.json" else "[1]")
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    assert module.model_info(tmp_path / "submission" / "detections.tsv", None) is None


def test_averaged_scores_are_not_of_the_model_in_whose_folder_they_lie(parts: dict[str, Any], tmp_path: Path) -> None:
    exp = tmp_path / "exp/mine"
    exp.mkdir(parents=True)
    (exp / "info.json").write_text('{"parameters": 5}')
    (exp / "config.yaml").write_text("seed: 3\n")
    given = replace(parts["submission"], path=exp / "validation/scores.h5")
    assert module.result_of(**parts | {"submission": given})["model"]["name"] == "mine"
    averaged = replace(given, attrs={"ensemble": ["exp/mine", "exp/other"]})
    assert module.result_of(**parts | {"submission": averaged})["model"] is None


def test_without_samples_those_of_an_earlier_scoring_go(parts: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.npz"
    found = module.result_of(**parts)
    options = {"problem": parts["problem"], "evaluation": parts["evaluation"], "path": path, "seed": 0, "jobs": 1}
    module.add_confidence(found, samples=20, **options)
    assert path.is_file() and found["intervals"]["psds1"][0] <= found["intervals"]["psds1"][1]
    module.add_confidence(found, samples=0, **options)
    assert not path.exists() and found["bootstrap"]["samples"] == 0


def test_a_number_that_its_package_counts_otherwise_is_a_warning(
    parts: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = module.result_of(**parts)
    options = {"problem": parts["problem"], "evaluation": parts["evaluation"], "seed": 0, "jobs": 1}
    with caplog.at_level(logging.WARNING):
        module.add_confidence(found, path=tmp_path / "b.npz", samples=2, **options)
        assert not caplog.records
        found["psds1"] += 0.01
        module.add_confidence(found, path=tmp_path / "b.npz", samples=2, **options)
    assert "disagree on psds1" in caplog.text


def test_the_closing_line_has_units_and_what_is_missing(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = module.result_of(**parts) | {"event_f1_macro": 0.3862, "psds1": 0.305, "psds2": None}
    found["classes_without_ground_truth"] = ["Dog"]
    with caplog.at_level(logging.INFO):
        module.log_summary(Path("r.json"), found)
    lines = [record.getMessage() for record in caplog.records]
    assert "in no average over classes" in lines[0] and "micro F1" in lines[0]
    assert lines[0].endswith("Dog") and lines[1] == "6 of 7 clips scored, 5 of them with output"
    assert lines[2].startswith("r.json: 6 of 7 clips: EB-F1 38.62 %, ") and ", PSDS1 0.3050, " in lines[2]
    assert "PSDS2" not in lines[2]


def test_features_are_looked_for_beside_the_ground_truth(parts: dict[str, Any], tmp_path: Path) -> None:
    reference = replace(parts["reference"], path=tmp_path / "events.tsv")
    assert module.find_sources(None, None, reference).store is None
    with FeatureWriter(tmp_path / "feats.1.h5", clips=["a"], frames=2, bins=4, front_end={"mel_bins": 4}) as writer:
        writer.write(np.zeros((2, 4), np.float16))
    (tmp_path / "feats.scp").write_text("a feats.1.h5:0\n")
    store = module.find_sources(None, None, reference).store
    assert store is not None and store.clips == ["a"]
    (tmp_path / "feats.scp").unlink()
    with pytest.raises(UserError, match=r"no feats\.scp"):
        module.find_sources(str(tmp_path), None, reference)


def test_raw_scores_groups_and_exclusion_are_in_the_result_and_the_first_two_in_the_closing_lines(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    made, evaluation = parts["problem"], parts["evaluation"]
    nothing = {"groups": None, "group_by": None, "exclude": None, "event_f1_from": None}
    shared: dict[str, Any] = {"reference": replace(parts["reference"], excluded=frozenset({"z", "y"}))}
    before = module.result_of(**parts)
    result = dict(before)
    module.add_more(result, made, evaluation, **shared, raw=None, groups=None, options=nothing)
    assert result == before
    options = {"groups": "g.tsv", "group_by": "place", "exclude": "list.txt", "event_f1_from": "f.tsv"}
    groups = dict.fromkeys(made.clips, "hall")
    module.add_more(result, made, evaluation, **shared, raw=evaluation, groups=groups, options=options)
    assert result["excluded"] == {"list": "list.txt", "clips": ["y", "z"]} and result["event_f1_from"] == "f.tsv"
    hall = result["groups"]["numbers"]["hall"]
    for key in ("event_f1_macro", "psds1", "psds2_exact", "psds1_class_mean"):
        assert result["raw"][key] == result[key] and hall[key] == pytest.approx(result[key], abs=1e-9)
    with caplog.at_level(logging.INFO, logger="sed.score"):
        module.log_summary(Path("result.json"), result)
    said = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("place hall: 6 clips: EB-F1 ") for text in said)
    assert any(text.startswith("without post-processing: EB-F1 ") for text in said)


def test_a_number_that_raw_scores_do_not_have_is_not_in_their_closing_line(
    parts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """piPSDS is computed once, from raw scores, and is a number of the result itself."""
    found = module.result_of(**parts) | {"pipsds1": 0.5, "raw": {"event_f1_macro": 0.25}}
    with caplog.at_level(logging.INFO, logger="sed.score"):
        module.log_summary(Path("r.json"), found)
    said = [record.getMessage() for record in caplog.records]
    assert said[-2] == "without post-processing: EB-F1 25.00 %" and ", piPSDS1 0.5000" in said[-1]
