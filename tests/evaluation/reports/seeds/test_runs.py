"""Several runs of the same configs, against numbers computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sed.evaluation.reports.seeds.remarks import without_faulty
from sed.evaluation.reports.seeds.runs import all_runs
from sed.evaluation.reports.seeds.tables import Pair

OVER_GRU = Pair(a="ast_gru", b="ast_sed", title="SED over GRU")


def system(*values: float) -> list[dict[str, Any]]:
    """Return one result per value, from seed 1 on."""
    return [
        {"seed": n, "event_f1_macro": 2 * value, "psds1": value, "psds2": value / 2}
        for n, value in enumerate(values, 1)
    ]


def test_all_runs_are_joined_but_for_what_was_faulty() -> None:
    now = {"ast_gru": system(0.18, 0.20, 0.22), "ast_sed": system(0.26, 0.28, 0.30)}
    before = {"ast_gru": system(0.17, 0.21, 0.99), "ast_sed": system(0.23), "ast_sed_second": system(0.3, 0.9)}
    before["crnn"] = system(0.5)
    faulty = {"names": ["ast_gru_seed3", "ast_sed_second_seed2", "crnn_seed1"], "text": "no", "faulty": True}
    kept = without_faulty(before, [faulty, {"names": ["ast_gru_seed1"], "text": "slow"}])
    pairs = [OVER_GRU, Pair(a="ast_sed", b="ast_sed_second"), Pair(a="crnn", b="ast_gru")]
    means, margins = all_runs({"now": now, "first": kept}, pairs)
    # By hand: over all runs, PSDS1 of seeds 1 to 3 is 0.175 (of 0.18 and 0.17), 0.205 and 0.22; EB-F1 is twice that.
    row = "| `ast_gru` | 40.00, 0.2000 (3) | 38.00, 0.1900 (2) | 40.00 ± 4.58 | 0.2000 ± 0.0229 | 0.1000 ± 0.0115 |"
    assert row in means
    assert "| `ast_sed_second` | – | 60.00, 0.3000 (1) | 60.00 | 0.3000 | 0.1500 |" in means
    assert not any("crnn" in line for line in means)
    # By hand: differences of 0.07 (of 0.08 and 0.06), 0.08 and 0.08, whose standard error is 1 / 300; t = 4.303.
    assert len(margins) == 4  # heads, rule, one margin with two seeds in common, an empty line
    assert margins[2].startswith("| SED over GRU | 3 | 4 | +15.33 [+12.46, +18.20] | +0.0767 [+0.0623, +0.0910] |")


def test_a_number_that_one_of_two_lacks_is_in_no_difference() -> None:
    gru = [{"seed": n, "event_f1_macro": 0.2, "psds1": 0.1, "psds2": 0.3} for n in (1, 2)]
    sed = [{**run, "event_f1_macro": n / 10, "psds1": n / 10, "psds2": None} for n, run in enumerate(gru, 1)]
    now = {"ast_gru": gru, "ast_sed": sed}
    _, margins = all_runs({"now": now, "first": now}, [OVER_GRU])
    # By hand: differences 0.1 apart, whose standard error is 0.05; t = 12.706.
    assert "| SED over GRU | 2 | 4 | -5.00 [-68.53, +58.53] | +0.0500 [-0.5853, +0.6853] | – |" in margins


@pytest.mark.filterwarnings("error")
def test_equal_differences_have_an_interval_of_no_length_and_no_warning() -> None:
    now = {"ast_gru": system(0.18, 0.20, 0.22), "ast_sed": system(0.28, 0.30, 0.32)}
    _, margins = all_runs({"now": now}, [OVER_GRU])
    assert margins[2].startswith("| SED over GRU | 3 | 3 | +20.00 [+20.00, +20.00] | +0.1000 [+0.1000, +0.1000] |")
