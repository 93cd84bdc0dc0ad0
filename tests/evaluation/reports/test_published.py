"""Published numbers: the system that an experiment is compared with, and its numbers by the keys of the tables."""

from __future__ import annotations

import pytest

from sed.evaluation.metrics.table import shown_in
from sed.evaluation.reports.published import KEYS, PUBLISHED, of_experiment


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("ast_sed", "AST-SED"),
        ("ast_sed-2", "AST-SED"),
        ("ast_sed_seed1", "AST-SED"),
        ("ast_gru.lr", "AST-GRU"),
        ("crnn", "CRNN, DCASE 2022 baseline with recorded strong clips"),
        ("crnn_seed2", "CRNN, DCASE 2022 baseline with recorded strong clips"),
        ("crnn_wide", "CRNN mean teacher"),
        ("crnn_wide_seed1", "CRNN mean teacher"),
        ("fdy_crnn_seed1", "FDY-CRNN"),
        ("conformer", "Conformer"),
        ("sk_crnn", None),
        ("ast_sedation", None),
        ("my_ast_sed", None),
        ("", None),
    ],
)
def test_an_experiment_is_recognised_by_the_start_of_its_name(name: str, system: str | None) -> None:
    found = of_experiment(name)
    assert (found.system if found else None) == system


def test_the_papers_numbers_differ_by_its_margins() -> None:
    sed, gru, crnn = PUBLISHED[:3]
    assert 100 * (sed.event_f1_macro - gru.event_f1_macro) == pytest.approx(4.4)
    assert sed.psds1 - gru.psds1 == pytest.approx(0.0603) and gru.psds1 - crnn.psds1 == pytest.approx(0.0531)


def test_values_are_found_by_the_keys_of_the_table() -> None:
    for row in PUBLISHED:
        assert [row.value(entry.key) for entry in shown_in("published")] == [row.event_f1_macro, row.psds1]
        assert all(value is None or 0 < value < 1 for value in map(row.value, KEYS))
        assert len(row.shown()) == len(shown_in("published")) and row.source
