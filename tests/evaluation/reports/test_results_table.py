"""RESULTS.md and the closing table: experiments that differ in their seed are one row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sed.evaluation.postprocessing.median import PAPER_MEDIAN
from sed.evaluation.reports.results_table import Row, difference, group, markdown, terminal_table


def test_differences_from_the_reference_compare_values_and_not_their_spelling():
    config = {"epochs": 10, "upsample": 1, "encoder_lr": 5e-6, "batch_sizes": [2, 4], "clip_seconds": 10.0, "seed": 3}
    row = Row(name="x", set="validation", results=[{"model": {"config": config}}])
    reference = {
        "upsample": 10,
        "encoder_lr": "5e-6",
        "batch_sizes": "2,4",
        "clip_seconds": 10,
        "epochs": 10,
        "seed": 1,
    }
    assert difference(row, reference) == "upsample 1 (10)"
    assert difference(row, reference | {"epochs": 12, "encoder_lr": 0.001}) == (
        "encoder_lr 5e-06 (0.001), epochs 10 (12), upsample 1 (10)"
    )
    assert difference(row, reference | {"upsample": 1}) == "none"
    assert difference(Row(name="x", set="validation", results=[{}]), reference) == "no configuration"


def found(
    name: str, seed: int | None, *, pooling: str = "fte", labels: tuple[str, ...] = ("x",), **more: Any
) -> tuple[Path, dict[str, Any]]:
    """Return path and content of a result whose EB-F1 is 0.5 + 0.1 * seed."""
    result: dict[str, Any] = {
        "set": "validation", "clips": 6, "clips_expected": 6, "event_f1_macro": 0.5 + 0.1 * (seed or 0), "psds1": 0.25,
        "per_class": {label: {} for label in labels}, "command": "score|it", "git": "abc",
        "environment": {"python": "3"},
        "model": {"config": {"seed": seed, "pooling": pooling}, "command": "train|it", "parameters": 2e6},
    }  # fmt: skip
    return Path("/exp") / name / "validation" / "result.json", result | more


def cells(text: str, name: str) -> list[str]:
    row = re.search(rf"^\| {re.escape(name)} \|(.*)\|$", text, re.MULTILINE)
    assert row, name
    return [cell.strip() for cell in row[1].split("|")]


def test_a_cross_fitted_result_is_no_other_seed_of_one_that_is_not() -> None:
    post: dict[str, Any] = {"post_processing": {"steps": []}}
    halves = {"tuned_on": "the other half of this set, for each half (threshold)", "cross_fitted": {}}
    rows = group([found("a", 1, **post, **halves), found("a-2", 2, **post)])
    assert [(row.name, len(row.results)) for row in rows] == [("a (cross-fitted)", 1), ("a-2", 1)]


def test_seeds_of_one_system_are_one_row_with_the_shortest_name() -> None:
    rows = group([found("ast_sed", 1), found("ast_sed-2", 2), found("ast_gru", 1, pooling="mean")])
    assert [(row.name, len(row.results)) for row in rows] == [("ast_sed", 2), ("ast_gru", 1)]
    text = markdown(rows, {"pooling": "fte"})
    assert cells(text, "ast_sed")[:5] == ["2", "6 of 6", "2.00 M", "unknown", "65.00 ± 7.07"]
    assert "pooling mean (fte)" in text and "Differs from `conf/ast_sed.yaml`: none" in text


def test_seeds_trained_on_pseudo_labels_or_from_weights_of_their_own_seed_are_one_row() -> None:
    results = [found(f"bi_seed{seed}", seed) for seed in (1, 2, 11)]
    for (_, result), seed in zip(results, (1, 2, 11), strict=True):
        result["model"]["config"] |= {"train_sets": ["strong", f"pseudo_seed{seed}"], "pretrained": f"exp/a_seed{seed}"}
    assert [(row.name, len(row.results)) for row in group(results)] == [("bi", 3)]
    results[2][1]["model"]["config"]["pretrained"] = "exp/a_seed1"  # of another seed
    assert [len(row.results) for row in group(results)] == [2, 1]


def test_a_row_of_several_seeds_does_not_have_the_name_of_one_unless_its_own_name_is_taken() -> None:
    seeds = [found(f"x_seed{seed}", seed) for seed in (2, 3)]
    assert [row.name for row in group([*seeds, found("x_seed1", 1, post_processing={"steps": []})])] == ["x", "x_seed1"]
    assert [row.name for row in group([*seeds, found("x", 1, pooling="mean")])] == ["x_seed2", "x"]
    assert [row.name for row in group([found("x_seed1", 1), found("x-2", 2)])] == ["x-2"]
    elsewhere = [found("x", 1, pooling="mean", set="public_eval")]
    assert [row.name for row in group([*seeds, *elsewhere])] == ["x", "x"]


def test_the_page_names_the_config_that_systems_are_compared_with_and_says_nothing_without_one() -> None:
    rows = group([found("ast_gru", 1, pooling="mean")])
    assert "Differs from `my.yaml`: pooling mean (fte)" in markdown(rows, {"pooling": "fte"}, "my.yaml")
    assert "Differs from" not in markdown(rows, {})


@pytest.mark.parametrize(
    "other",
    [
        found("a-2", 1),  # the same seed twice is another experiment
        found("a-2", None),
        found("a-2", 2, set="public_eval"),
        found("a-2", 2, clips=5),
        found("a-2", 2, post_processing={"steps": ["csebbs"]}),
        found("a-2", 2, input={"attrs": {"which": "student"}}),
    ],
)
def test_what_differs_in_more_than_its_seed_has_a_row_of_its_own(other: tuple[Path, dict[str, Any]]) -> None:
    assert len(group([found("a", 1), other])) == len(group([other, found("a", 1)])) == 2


def test_a_seed_that_is_unknown_is_not_numbered() -> None:
    text = markdown(group([found("a", None), found("b", 3)]), {})
    assert "- Seed unknown: trained" in text and "- Seed 3: trained" in text and "- Seed 0" not in text


def test_no_folder_of_an_experiment_is_lost() -> None:
    path, result = found("a", 1)
    folders = [path.parent.parent / folder / "result.json" for folder in ("validation", "low", "high")]
    assert len(group([(folder, result) for folder in folders])) == 3


def test_published_numbers_stand_only_beside_the_papers_set() -> None:
    assert "59.60" not in markdown(group([found("ast_sed", 1)]), {})
    desed: dict[str, Any] = {"labels": tuple(PAPER_MEDIAN), "clips_expected": 1168}
    for other in ({"set": "public_eval"}, {"clips_expected": 120}, {"labels": tuple(PAPER_MEDIAN)[:9]}):
        text = markdown(group([found("ast_sed", 1, **{**desed, **other})]), {})
        assert "59.60" not in text and "0.5140" not in text and cells(text, "ast_sed")[-1] == "–"
    text = markdown(group([found("ast_sed", 1, **desed)]), {})
    assert cells(text, "ast_sed")[-1] == "59.60 / 0.5140 (DESED validation)"
    assert "| AST-GRU | 55.20 | 0.4537 |" in text and "arXiv 2303.03689" in text


def test_a_single_seed_has_its_bootstrap_interval_and_several_have_none() -> None:
    intervals = {"intervals": {"event_f1_macro": [0.55, 0.65]}}
    rows = group([found("a", 1, **intervals)])
    assert cells(markdown(rows, {}), "a")[4:6] == ["60.00 [55.00, 65.00]", "–"]
    rows = group([found("a", 1, **intervals), found("a-2", 2, **intervals)])
    assert cells(markdown(rows, {}), "a")[4] == "65.00 ± 7.07"


def test_missing_clips_are_reported_above_the_table() -> None:
    text = markdown(group([found("a", 1, clips=5), found("b", 1, pooling="mean")]), {})
    assert "**Incomplete: 5 of 6 clips are scored" in text
    assert "Incomplete" not in markdown(group([found("b", 1)]), {})
    scores = {"input": {"kind": "scores.h5"}}
    rows = group([found("a", 1, **scores), found("a-2", 2, clips_with_output=4, **scores)])
    assert cells(markdown(rows, {}), "a")[1] == "6 of 6, 4 with output"


def test_the_terminal_has_aligned_columns_in_the_same_units() -> None:
    lines = terminal_table(group([found("a", 1), found("longer", 2, pooling="mean")])).splitlines()
    head, rule, one, other, few = lines
    assert few.startswith("Scored on 6 clips only")
    enough = [found(name, 1, pooling=name, clips=1168, clips_expected=1168) for name in "ab"]
    assert len(terminal_table(group(enough)).splitlines()) == 4 and "only" not in markdown(group(enough), {})
    at = head.index("EB-F1 %")
    assert (one[at : at + 5], other[at : at + 5]) == ("60.00", "70.00") and set(rule) == {"-"}


def test_what_was_not_pretrained_is_marked() -> None:
    def trained(name: str, **config: Any) -> tuple[Path, dict[str, Any]]:
        return found(name, 1, model={"config": {"seed": 1, "name": name, **config}})

    rows = group(
        [
            trained("old", encoder="ast"),
            trained("whole", encoder="ast", pretrained="downloads/ast.pth"),
            trained("bare", encoder="ast", pretrained=""),
            trained("meant", encoder="ast", pretrained="none"),
            trained("cnn", encoder="crnn", pretrained="none"),
        ]
    )
    text = markdown(rows, {})
    kinds = {row.name: cells(text, row.name)[3] for row in rows}
    assert kinds == {"old": "unknown", "whole": "ast.pth", "bare": "random", "meant": "random", "cnn": "random"}
    assert "**Not pretrained, from random weights: bare, meant; " in text
    assert "Not pretrained" not in markdown(rows[:2] + rows[4:], {})


def test_set_names_and_commands_make_no_markup() -> None:
    path, result = found("x", 0, set="</script><script>alert(2)</script>\n# a", command="score\n## b `c`")
    text = markdown(group([(path, result)]), {})
    assert "<script" not in text and "</script" not in text
    assert not [line for line in text.splitlines() if line.startswith(("# a", "## b"))]
    assert "`` score ## b `c` ``" in text
