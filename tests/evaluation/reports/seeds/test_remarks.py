"""Remarks: footnote marks in tables, texts, and faulty trainings that are left out."""

from __future__ import annotations

from sed.evaluation.reports.seeds.remarks import footnotes, marks, training, without_faulty

REMARKS = [
    {"names": ["a_seed1", "b_seed2"], "text": "Slow."},
    {"names": [], "text": "All on one machine."},
    {"names": ["a_seed1"], "text": "Wrong.", "faulty": True},
]


def test_a_name_has_the_numbers_of_all_remarks_on_it() -> None:
    assert marks(REMARKS, training("a", 1)) == " (1) (3)"
    assert marks(REMARKS, training("b", 1), training("b", 2)) == " (1)"
    assert marks(REMARKS, training("c", 1)) == ""


def test_numbers_in_the_text_are_those_of_the_marks() -> None:
    assert footnotes(REMARKS) == ["(1) Slow.", "", "All on one machine.", "", "(3) Wrong.", ""]


def test_only_faulty_trainings_are_left_out_and_a_config_without_any_other_too() -> None:
    results = {"a": [{"seed": 1}], "b": [{"seed": 1}, {"seed": 2}]}
    assert without_faulty(results, REMARKS) == {"b": [{"seed": 1}, {"seed": 2}]}
    assert without_faulty(results, REMARKS[:2]) == results
