"""Front matter of cards: read back by a YAML reader, and by huggingface_hub's own where it is installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sed.prediction.front_matter import front_matter, has_front_matter

RESULTS = {"validation": {"event_f1_macro": 0.5, "psds1": 0.25, "psds2": None}, "other": {"clips": 3}}


def read(text: str) -> dict[str, Any]:
    found = re.fullmatch(r"---\n(.*\n)---\n\n", text, re.DOTALL)
    assert found and "\n---" not in "\n" + found[1]
    return yaml.safe_load(found[1])


@pytest.mark.parametrize(
    "said,expected",
    [
        ("", {}),
        ("CC BY-NC 4.0", {"license": "cc-by-nc-4.0"}),
        ("CC0", {"license": "cc0-1.0"}),
        ("Apache_2.0", {"license": "apache-2.0"}),
        ("ask us\n---\n# evil: <b>", {"license": "other", "license_name": "ask us --- evil b"}),
    ],
)
def test_licences_have_the_hub_s_names(said: str, expected: dict[str, str]) -> None:
    found = read(front_matter("x", said, {}))
    assert {key: found[key] for key in ("license", "license_name") if key in found} == expected


def test_scores_become_metrics_and_missing_ones_are_left_out() -> None:
    (index,) = read(front_matter("a: b\n---", "", RESULTS))["model-index"]
    (result,) = index["results"]  # a set without a score has no entry
    assert index["name"] == "a b ---" and result["dataset"] == {"name": "validation", "type": "validation"}
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"event_f1_macro": 0.5, "psds1": 0.25}
    assert "model-index" not in read(front_matter("x", "", {}))
    (index,) = read(front_matter("x", "", {"other set\n---": {"psds1": 0.5}}))["model-index"]
    assert index["results"][0]["dataset"]["name"] == "other set ---"


def test_the_hub_s_own_reader_finds_the_scores(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text(front_matter("kitchen", "MIT", RESULTS) + "# kitchen\n")
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert data.license == "mit" and data.library_name == "ast-sed" and data.model_name == "kitchen"
    assert [(one.metric_type, one.metric_value) for one in data.eval_results] == [
        ("event_f1_macro", 0.5),
        ("psds1", 0.25),
    ]


def test_front_matter_is_found_where_a_card_has_it(tmp_path: Path) -> None:
    assert not has_front_matter(tmp_path)
    for text, expected in (("# x\n", False), ("---\na: b\n---\n", True), ("", False)):
        (tmp_path / "README.md").write_text(text)
        assert has_front_matter(tmp_path) == expected
