"""Initial weights of a model, from results of all versions."""

from __future__ import annotations

from typing import Any

import pytest

from sed.evaluation.reports.weights import ensemble_of, lacks_weights, warning, weights_of


@pytest.mark.parametrize(
    ("model", "kind", "lacks"),
    [
        (None, "unknown", False),  # others' output
        ({}, "unknown", False),
        ({"config": {"encoder": "ast"}}, "unknown", False),  # from before the option was kept
        ({"config": {"encoder": "ast", "pretrained": ""}}, "random", True),
        ({"config": {"encoder": "ast", "pretrained": "none"}, "weights": "random"}, "random", True),
        ({"config": {"encoder": "ast", "pretrained": "/downloads/ast.pth"}}, "ast.pth", False),
        (
            {"config": {"encoder": "ast", "pretrained": "x/ast.pth"}, "weights": "28 of x"},
            "ast.pth",
            False,
        ),
        ({"config": {"encoder": "ast", "pretrained": "cnn.pth"}, "weights": "random"}, "random", True),
        ({"config": {"encoder": "crnn", "pretrained": ""}}, "random", False),
        ({"config": {"encoder": "crnn", "pretrained": "ast.pth"}}, "unknown", False),  # which it may have ignored
        ({"config": {"encoder": "crnn", "pretrained": "exp/crnn"}, "weights": "all of exp/crnn"}, "crnn", False),
    ],
)
def test_a_start_is_a_checkpoint_random_or_unknown(model: dict[str, Any] | None, kind: str, lacks: bool) -> None:
    assert weights_of({"model": model}) == kind
    assert lacks_weights({"model": model}) == lacks


def test_an_ensemble_has_its_members_and_a_result_of_one_model_has_none() -> None:
    result: dict[str, Any] = {"model": None, "input": {"attrs": {"ensemble": ["exp/a", "exp/b"]}}}
    assert ensemble_of(result) == ["exp/a", "exp/b"] and weights_of(result) == "ensemble of 2 models"
    assert not lacks_weights(result)
    for other in ({**result, "model": {"name": "x"}}, {"input": {"attrs": {"ensemble": "exp/a"}}}, {"input": None}):
        assert ensemble_of(other) == []


def test_the_warning_names_the_systems() -> None:
    assert warning([]) == ""
    assert warning(["a", "b"]).startswith("Not pretrained, from random weights: a, b;")
