"""Our systems beside the published ones as CSV and LaTeX, read back."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from sed.evaluation.postprocessing.median import PAPER_MEDIAN
from sed.evaluation.reports.published import PUBLISHED
from sed.evaluation.reports.results_table import Row
from sed.evaluation.reports.systems_table import csv_text, latex_text


def row(name: str, *values: float, desed: bool = True, **more: Any) -> Row:
    """Return a system whose seeds have these PSDS1."""
    result = {
        "set": "validation", "clips": 1168, "clips_expected": 1168 if desed else 1169,
        "per_class": {label: {} for label in PAPER_MEDIAN}, "model": {"parameters": 11_061_468},
    }  # fmt: skip
    results = [result | {"psds1": value, "event_f1_macro": value + 0.1} | more for value in values]
    return Row(name=name, set="validation", results=results)


def read(text: str) -> dict[str, dict[str, str]]:
    return {line["system"] or line["published"]: line for line in csv.DictReader(io.StringIO(text))}


def cells(text: str, start: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    assert line.endswith(r" \\")
    return [cell.strip() for cell in line.removesuffix(r"\\").split(" & ")]


def test_csv_has_ours_and_what_is_published_of_the_same_system() -> None:
    found = read(csv_text([row("fdy_crnn", 0.40, 0.44), row("sk_crnn", 0.41)]))
    ours = found["fdy_crnn"]
    assert float(ours["psds1"]) == pytest.approx(0.42) and float(ours["psds1_std"]) == pytest.approx(0.02 * 2**0.5)
    assert (ours["seeds"], ours["parameters"]) == ("2", "11061468")
    assert (ours["published"], ours["published_psds1"], ours["published_psds2"]) == ("FDY-CRNN", "0.452", "0.67")
    assert "best of 16" in ours["note"]
    assert found["sk_crnn"]["published"] == found["sk_crnn"]["psds1_std"] == ""
    assert found.keys() == {"fdy_crnn", "sk_crnn"} | {p.system for p in PUBLISHED if p.system != "FDY-CRNN"}
    assert found["Conformer"]["published_psds1"] == "" and found["Conformer"]["published_event_f1_macro"] == "0.477"


def test_other_sets_have_nothing_published_beside_them() -> None:
    rows = [row("fdy_crnn", 0.4, desed=False)]
    assert read(csv_text(rows)).keys() == {"fdy_crnn"} and read(csv_text(rows))["fdy_crnn"]["published"] == ""
    assert "published" not in latex_text(rows) and "AST-SED" not in latex_text(rows)


def test_latex_has_a_cell_for_every_column() -> None:
    text = latex_text([row("fdy_crnn", 0.40, 0.44), row("50%_&_{x}$#~^", 0.41)])
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    (columns,) = re.findall(r"begin{tabular}{(l\w+)}", text)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(columns) - 1}
    assert len(body) == 1 + 2 + len(PUBLISHED) - 1
    ours = cells(text, r"fdy\_crnn")
    assert (
        ours[1:3] == ["2", "11.06 M"] and r"0.4200 $\pm$ 0.0283" in ours and ours[-3:] == ["53.30", "0.4520", "0.6700"]
    )
    assert r"50\%\_\&\_\{x\}\$\#\textasciitilde{}\textasciicircum{}" in text


def test_a_name_is_on_one_line() -> None:
    text = latex_text([row("a\nb", 0.4, desed=False)])
    assert "a b &" in text
