"""Results of several seeds reduced to a line each, and to paired margins."""

import json
import shutil
from pathlib import Path

import pytest
from several_seeds import LABELS, TRUTH, experiments

from sed.errors import UserError
from sed.evaluation.confidence.paired import System, paired
from sed.evaluation.reports.seeds import reduce


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return experiments(tmp_path / "exp")


def test_experiments_are_found_by_config_and_seed(exp):
    found = reduce.find(exp, "validation")
    assert {name: sorted(there) for name, there in found.items()} == {
        "ast_gru": [1, 2], "ast_sed": [1, 2], "ast_sed_csebbs": [1], "crnn": [3],
    }  # fmt: skip
    assert reduce.find(exp, "public_eval") == {}


@pytest.mark.parametrize("other", ["ast_sed_csebbs_seed1", "ast_gru_seed01"])
def test_two_results_of_one_config_and_seed_are_refused(exp, other):
    shutil.copytree(exp / "ast_gru_seed1" / "validation", exp / other / "validation")
    with pytest.raises(UserError, match=r"both are ast_(gru|sed_csebbs), seed 1 \(rename one folder\)"):
        reduce.find(exp, "validation")


def test_a_result_is_reduced_to_what_the_page_needs(exp):
    small = reduce.reduced(exp / "ast_sed_seed2" / "validation" / "result.json", "ast_sed", 2, TRUTH)
    assert small["event_f1_macro"] == 0.5 and small["psds2"] is None and small["steps"] == 2000
    assert set(small["per_class"]) == set(LABELS)
    # [events found, events, false detections]
    assert small["by_length"]["Dog"]["under 0.5 s"] == [1, 1, 0]
    assert small["by_length"]["Frying"]["over 3 s"] == [0, 1, 1]
    assert small["by_collar"]["0.02"]["Dog"] == [0, 2, 1] and small["by_collar"]["0.1"]["Dog"] == [1, 2, 0]
    assert small["fragments"] == {"events": 3, "split": 0, "merged": 0}
    assert small["psds1_class_mean"] == pytest.approx(0.5)  # without the class that has no ground truth
    assert len(json.dumps(small)) < 4000


def test_margins_pair_clips_and_seeds(exp):
    found = reduce.find(exp, "validation")
    one = reduce.margin("ast_gru", "ast_sed", found)
    assert one["seeds"] == [1, 2]
    for key in ("value", "low", "high"):  # what clips and seeds do to both is no part of the difference
        assert one["numbers"]["event_f1_macro"][key] == pytest.approx(0.1, abs=1e-5)
    assert one["per_class"]["Dog"]["event_f1"]["value"] == pytest.approx(0.1)
    assert one["numbers"]["psds2"] is None
    assert reduce.margin("crnn", "ast_sed", found) is None


def test_unpaired_seeds_widen_the_interval(exp):
    def system(name):
        return reduce.system(name, [exp / f"{name}_seed{seed}" / "validation" / "result.json" for seed in (1, 2)])

    a, b = system("ast_gru"), system("ast_sed")
    together = paired(a, b, "psds1", same_seeds=True)
    apart = paired(a, b, "psds1")
    assert together.value == pytest.approx(apart.value)
    assert apart.high - apart.low > 0.05 > together.high - together.low
    turned = System(name="b", paths=b.paths[::-1], results=b.results[::-1], samples=b.samples[::-1])
    assert paired(a, turned, "psds1", same_seeds=True).low < 0.05  # seeds are paired by their places in the lists
