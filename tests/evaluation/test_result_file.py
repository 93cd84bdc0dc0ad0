"""Reading result.json: valid and invalid content, and the system and seed of a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sed.errors import UserError
from sed.evaluation.result_file import (
    MAY_DIFFER,
    experiment_name,
    find_results,
    of_any_seed,
    read_result,
    seed_of,
    settings,
)
from sed.training.run_options import RUNTIME


def put(path: Path, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"set": path.parent.name, "clips": 1, "clips_expected": 1, "per_class": {}, **more}))
    return path


def test_results_are_found_in_order_and_named_by_their_experiment(tmp_path: Path) -> None:
    for name in ("b/validation", "a/validation", "a/public_eval"):
        put(tmp_path / name / "result.json", which=name)
    put(tmp_path / "a" / "validation" / "deeper" / "result.json")  # of no experiment in this folder
    (tmp_path / "a" / "config.yaml").touch()
    found = find_results(tmp_path)
    assert [result["which"] for _, result in found] == ["a/public_eval", "a/validation", "b/validation"]
    assert [experiment_name(path) for path, _ in found] == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such result"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not a text file"),
        (b'{"set": "x", "clips": 1, "clips_expected": 1}', "no 'per_class'"),
        (b'{"set": "x", "clips": 1, "clips_expected": 1, "per_class": {}, "model": {"config": 3}}', "model.config"),
        (
            b'{"set": "x", "clips": 1, "clips_expected": 1, "per_class": {}, "model": {"pseudo_labels": {"x": []}}}',
            "model.pseudo_labels.x",
        ),
        (b'{"set": "x", "clips": 1, "clips_expected": 1, "per_class": {}, "post_processing": []}', "post_processing"),
        (b'{"set": "x", "clips": 1, "clips_expected": 1, "per_class": {}, "clips_with_output": null}', "with_output"),
    ],
)
def test_what_is_no_result_is_refused_by_its_path(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_result(path)
    assert str(path) in str(error.value) and said in str(error.value)
    assert "score" in str(error.value)  # what to do


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"config": {"pretrained": 5}}, "model.config.pretrained is 5"),
        ({"config": {"encoder": ["ast"]}}, "model.config.encoder is"),
        ({"config": {"seed": [1]}}, "model.config.seed is"),
        ({"config": {"train_sets": 3}}, "model.config.train_sets is 3"),
        ({"config": {"train_sets": ["weak", ["x"]]}}, "model.config.train_sets[1] is"),
        ({"config": {"batch_sizes": 3}}, "model.config.batch_sizes is 3"),
        ({"sets": [["weak"]]}, "model.sets[0] is"),
    ],
)
def test_a_field_of_the_model_that_reports_read_has_the_type_that_training_writes(
    tmp_path: Path, model: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as error:
        read_result(put(tmp_path / "x" / "result.json", model=model))
    assert said in str(error.value)


def test_systems_differ_by_their_settings_and_not_by_seed_or_device() -> None:
    def result(**config: Any) -> dict[str, Any]:
        return {"model": {"config": {"lr": 0.1, **config}}}

    one, other = result(seed=1, device="cpu", threads=2), result(seed=2, device="cuda", threads=1)
    assert settings(one) == settings(other) == {"lr": 0.1}
    assert settings(result(pooling="mean")) != settings(one)
    assert (seed_of(one), seed_of(other)) == (1, 2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"intervals": {"psds1": [0.1, None]}}, "intervals.psds1 is not two numbers"),
        ({"intervals": {"psds1": [0.1, 0.2], "psds2": [0.1]}}, "intervals.psds2 is not two numbers"),
        ({"per_class": {"Dog": {"intervals": {"psds1": []}}}}, "per_class.Dog.intervals.psds1 is not two numbers"),
    ],
)
def test_an_interval_has_two_bounds(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    path = put(tmp_path / "a" / "validation" / "result.json", **more)
    with pytest.raises(UserError, match=rf"result\.json: .* holds: {said} \(score again\)"):
        read_result(path)
    put(path, intervals={"psds1": [0.1, 0.2]}, per_class={"Dog": {"intervals": {"psds1": [0.1, 0.1]}}, "Cat": {}})
    assert read_result(path)["intervals"] == {"psds1": [0.1, 0.2]}


@pytest.mark.parametrize("result", [{}, {"model": None}, {"model": {"config": None}}, {"model": {}}])
def test_a_result_of_an_unknown_model_has_no_settings_and_no_seed(result: dict[str, Any]) -> None:
    assert settings(result) == {} and seed_of(result) is None


def test_trainings_of_one_system_may_differ_in_every_runtime_option() -> None:
    assert {*RUNTIME} <= {*MAY_DIFFER}


def test_names_that_hold_a_trainings_own_seed_are_the_same_for_all_seeds() -> None:
    def result(seed: int, other: int) -> dict[str, Any]:
        names = {"train_sets": ["strong", f"pseudo_seed{other}"], "pretrained": f"exp/a_seed{other}/final.pt"}
        return {"model": {"config": {"seed": seed, "epochs": 3, **names}}}

    same = {"epochs": 3, "train_sets": ["strong", "pseudo_seed"], "pretrained": "exp/a_seed/final.pt"}
    assert of_any_seed(result(1, 1)) == of_any_seed(result(11, 11)) == same
    assert of_any_seed(result(1, 11)) != same != of_any_seed(result(11, 1))
    assert of_any_seed({}) == {}
