"""Trials, with the options in which they differ."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from resolved_configs import CONF

from sed.config.yaml_file import load_config
from sed.errors import UserError
from sed.evaluation.reports.seeds import reduce, trials


def test_rows_name_the_options_that_vary_within_a_system_best_first(tmp_path: Path) -> None:
    trained = (("a", 1e-3, 10, 0.2), ("b", 1e-4, 10, 0.3), ("c", 1e-4, 1, 0.1))
    for seed, (name, lr, upsample, psds1) in enumerate(trained):  # of several seeds, which is not named
        config = {"encoder": "ast", "pooling": "fte", "upsample": upsample, "lr": lr, "seed": seed, "epochs": 7}
        folder = tmp_path / name / "validation"
        folder.mkdir(parents=True)
        result = dict.fromkeys(reduce.NUMBERS, 0.25) | {"psds1": psds1, "per_class": {}}
        result |= {"set": "validation", "clips": 6, "clips_expected": 6, "model": {"config": config, "step": 700}}
        (folder / "result.json").write_text(json.dumps(result))
    found = trials.rows(tmp_path.glob("*/validation/result.json"))
    assert [(row["name"], row["system"], row["options"]) for row in found] == [
        ("b", "ast_sed", {"lr": 1e-4}),
        ("a", "ast_sed", {"lr": 1e-3}),
        ("c", "fte_only", {}),
    ]
    lines = trials.trial_table(found, [{"names": ["b"], "text": "x"}])
    assert lines[0] == "| system | with | EB-F1 % | PSDS1 | PSDS2 |"
    assert lines[2:5] == [
        "| `ast_sed` (1) | lr 0.0001 | 25.0 | 0.300 | 0.250 |",
        "| `ast_sed` | lr 0.001 | 25.0 | 0.200 | 0.250 |",
        "| `fte_only` |  | 25.0 | 0.100 | 0.250 |",
    ]


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("ast_gru", "ast_gru"),
        ("beats_sed", "beats"),
        ("crnn", "crnn"),
        ("fdy_crnn", "fdy_crnn"),
        ("sk_crnn", "sk_crnn"),
        ("conformer", "cnn_conformer"),
        ("zero_shot", "atst_frame_none"),
    ],
)
def test_each_config_belongs_to_its_own_system(name: str, system: str) -> None:
    assert trials._system(load_config(CONF / f"{name}.yaml")) == system


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"model": None}, "encoder"),
        ({"psds1": None}, "psds1"),
        ({"model": {}}, "encoder"),
        ({"model": {"config": {"encoder": "ast"}}}, "pooling"),
    ],
)
def test_a_result_without_a_config_or_a_main_metric_is_no_trial(tmp_path: Path, change: dict, lacking: str) -> None:
    result = dict.fromkeys(reduce.NUMBERS, 0.25) | {"set": "validation", "clips": 6, "clips_expected": 6}
    result |= {"per_class": {}, "model": {"config": {"encoder": "cnn", "pooling": "mean", "upsample": 1}}} | change
    path = tmp_path / "a" / "validation" / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result))
    with pytest.raises(UserError, match=f"{re.escape(str(path))}: not a trial: no '{lacking}'"):
        trials.rows([path])
