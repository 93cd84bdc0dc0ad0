"""compare.html: numbers in their units, differences of the right sign, several seeds as their mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed.evaluation.confidence.bootstrap import Samples
from sed.evaluation.confidence.paired import System
from sed.evaluation.postprocessing.median import PAPER_MEDIAN
from sed.evaluation.reports.comparison import compare_report

DRAWN = np.concatenate([[0.0], np.random.default_rng(0).normal(0, 0.02, 200)])


def system(name: str, *values: float, labels: Sequence[str] = ("x",), expected: int = 4) -> System:
    names = ["event_f1_macro", "psds1", "segment_error_rate", *(f"{label}\tevent_f1" for label in labels)]
    results: list[dict[str, Any]] = [
        {
            "set": "validation", "clips": 3, "clips_expected": expected, "event_f1_macro": value, "psds1": value / 2,
            "per_class": {label: {"event_f1": value} for label in labels},
            "psd_roc": {"psds1": [[0.0, 50.0], [0.1, value]]},
            "post_processing": {"steps": ["median"]}, "command": f"score <{name}>", "git": "abc", "tuned_on": None,
        }
        for value in values
    ]  # fmt: skip
    samples = [
        Samples(names=names, values=np.tile(value + DRAWN, (len(names), 1)), clips="c", seed=0) for value in values
    ]
    return System(name=name, paths=[Path(f"{name}/result.json")] * len(values), results=results, samples=samples)


def cells(page: str, row: str) -> list[str]:
    """Return the cells of the first table row with this head."""
    found = re.search(rf'<th scope="row">{re.escape(row)}</th>(.*?)</tr>', page)
    assert found, row
    return re.findall(r"<td[^>]*>(.*?)</td>", found[1])


def test_numbers_are_in_one_unit_and_published_ones_beside_them() -> None:
    page = compare_report([system("ast_gru", 0.5), system("ast_sed", 0.625)])
    first, second = cells(page, "EB-F1, macro, %")
    assert first.startswith("50.00 [") and second.startswith("62.50 [")
    assert cells(page, "PSDS1")[1].startswith("0.3125 [")
    assert "published" not in page  # neither DESED's labels nor its number of clips
    desed: dict[str, Any] = {"labels": tuple(PAPER_MEDIAN), "expected": 1168}
    page = compare_report([system("ast_gru", 0.5, **desed), system("ast_sed", 0.625, **desed)])
    assert cells(page, "published EB-F1 % (DESED validation)") == ["55.20", "59.60"]
    assert "published" not in compare_report([system("mine", 0.5, **desed), system("other", 0.6, **desed)])


def test_differences_are_the_second_less_the_first() -> None:
    page = compare_report([system("a", 0.5), system("b", 0.625)])
    table = page[page.index('id="differences"') :]
    assert cells(table, "EB-F1, macro, %") == ["+12.50", "[+12.50, +12.50]", "100 %", "yes"]
    assert "percentage points" in table and "fractions" in table  # a picture for each unit
    same = compare_report([system("a", 0.5), system("b", 0.5)])
    assert cells(same[same.index('id="differences"') :], "PSDS1")[-1] == "no: 0 is inside"


def test_samples_with_a_system_ahead_are_those_in_which_it_is_better() -> None:
    for second, f1, errors in ((0.625, "100 %", "0 %"), (0.375, "0 %", "100 %"), (0.5, "0 %", "0 %")):
        page = compare_report([system("a", 0.5), system("b", second)])
        table = page[page.index('id="differences"') :]
        assert [cells(table, row)[2] for row in ("EB-F1, macro, %", "error rate of segments ↓")] == [f1, errors]


def test_a_system_without_decisions_is_not_said_to_lack_ground_truth() -> None:
    whole, undecided = system("a", 0.5), system("b", 0.5)
    undecided.results[0]["per_class"] = {"x": {"event_f1": None, "ground_truth": True}}
    page = compare_report([whole, undecided])
    assert "EB-F1 by class" in page and "no ground truth" not in page
    assert "EB-F1 by class" not in compare_report([undecided, undecided])


def test_seeds_are_shown_as_their_mean() -> None:
    page = compare_report([system("a", 0.5), system("b", 0.6, 0.7)])
    assert cells(page, "EB-F1, macro, %")[1].startswith("65.00 [")
    assert "b (2 seeds)" in page and "paired over clips and seeds" in page


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x'])
def test_names_stay_text(name: str) -> None:
    page = compare_report([system("a", 0.5), system(name, 0.6)])
    assert name not in page and "<script" not in page
