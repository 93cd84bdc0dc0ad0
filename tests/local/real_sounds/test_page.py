"""The text of egs/real_sounds' RESULTS.md."""

from __future__ import annotations

from typing import Any

from local.real_sounds.page import Page, ordered, pairs


def run_of(seed: int, value: float, **more: Any) -> dict[str, Any]:
    return {"seed": seed, "event_f1_macro": value, "psds1": value, "psds2": None, "per_class": {}, **more}


def names(configs: set[str]) -> list[tuple[str, str]]:
    return [(pair.a, pair.b) for pair in pairs(configs)]


def test_pairs_are_the_papers_and_those_beyond_it() -> None:
    assert names({"ast_gru", "ast_sed", "mine"}) == [("ast_gru", "ast_sed"), ("ast_sed", "mine")]
    assert names({"ast_sed", "ast_sed_tuned", "fte_best"})[-1] == ("ast_sed_tuned", "fte_best")
    assert names({"crnn", "mine"}) == []


def test_other_encoders_are_compared_with_their_own_plain_rows() -> None:
    plain = "beats_sed_pooling_mean_upsample_1"
    configs = {"ast_gru", "ast_sed", plain, "beats_sed", "beats_sed_upsample_1", "atst_sed", "atst_sed_upsample_1"}
    assert sorted(names(configs)) == [
        ("ast_gru", "ast_sed"),
        ("ast_sed", "atst_sed"),
        ("ast_sed", "beats_sed"),
        ("atst_sed_upsample_1", "atst_sed"),
        (plain, "beats_sed"),
        (plain, "beats_sed_upsample_1"),
    ]
    titles = {(pair.a, pair.b): pair.name for pair in pairs(configs)}
    assert titles[plain, "beats_sed_upsample_1"] == "BEATs: FTE only over the mean without upsampling"
    assert titles["atst_sed_upsample_1", "atst_sed"] == "ATST-Frame: LGD only over the mean without upsampling"


def test_other_encoders_have_a_section_of_their_own() -> None:
    head = "## The two parts on other encoders"
    assert head in Page(results={"atst_sed": [run_of(1, 0.4)]}).markdown()
    assert head not in Page(results={"ast_sed": [run_of(1, 0.4)]}).markdown()


def test_the_papers_configs_come_first() -> None:
    assert [*ordered({"b": [], "ast_sed": [], "a": [], "crnn": []})] == ["crnn", "ast_sed", "a", "b"]


def test_faulty_trainings_are_left_out_of_sums_over_runs() -> None:
    now = {"ast_sed": [run_of(1, 0.4), run_of(2, 0.5)]}
    before = {"ast_sed": [run_of(3, 0.4)]}
    remark: dict[str, Any] = {"names": ["ast_sed_seed2"], "text": "Slow."}

    def all_runs() -> str:
        return Page(results=now, remarks=[remark], earlier={"before": before}).markdown().split("## All runs")[1]

    assert "| `ast_sed` | 45.00, 0.4500 (2) | 40.00, 0.4000 (1) | 43.33 ± 5.77 | 0.4333 ± 0.0577 | – |" in all_runs()
    remark["faulty"] = True
    assert "| `ast_sed` | 40.00, 0.4000 (1) | 40.00, 0.4000 (1) | 40.00 ± 0.00 | 0.4000 ± 0.0000 | – |" in all_runs()


def test_bounding_boxes_with_default_settings_are_not_said_to_be_tuned() -> None:
    tuned, plain = [run_of(1, 0.4, tuned_on="validation (csebbs)")], [run_of(1, 0.4)]

    def text(**boxes: Any) -> str:
        scored = {f"{name}_csebbs": runs for name, runs in boxes.items()}
        return Page(results={**dict.fromkeys(boxes, plain), **scored}).markdown().split("(cSEBBs) ")[1]

    assert text(crnn=tuned, mine=tuned).startswith(
        "tuned for each system on a split of the training sources (`tuning/csebbs/`), and"
    )
    assert "(`tuning/csebbs/`; `mine`: with default settings), and" in text(crnn=tuned, mine=plain)
    assert text(crnn=plain, mine=plain).startswith("with default settings, and")


def test_sections_without_results_are_left_out() -> None:
    text = Page(results={"mine": [run_of(1, 0.4)]}).markdown()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Results on real sounds", "## Systems", "## Every seed",
    ]  # fmt: skip
    assert "What limits" not in Page(results={"crnn": [run_of(1, 0.4)]}).markdown()


def test_gains_of_encoder_decoder_and_ratio_are_described() -> None:
    margins = [
        {
            "a": a,
            "b": b,
            "seeds": [1],
            "numbers": {"event_f1_macro": None, "psds1": value, "psds2": None},
            "per_class": {},
        }
        for a, b, value in (
            ("crnn", "ast_gru", {"value": 0.05, "low": 0.0, "high": 0.1}),
            ("ast_gru", "ast_sed", {"value": 0.11, "low": 0.0, "high": 0.2}),
        )
    ]
    results = {
        "ast_sed": [run_of(1, 0.20), run_of(2, 0.22)],
        "fte_only": [run_of(1, 0.15)],
        "ratio_2": [run_of(1, 0.25)],
    }
    text = Page(results=results, margins=margins).markdown()
    assert "moves by +0.0500 from the CRNN" in text and "by +0.1100 from" in text
    assert "from 0.1500 (`fte_only`) to 0.2500 (`ratio_2`); seeds of `ast_sed` spread by 0.0141" in text
    # +4.40 and +0.06 are the paper's gains
    assert "| AST-SED over AST-GRU | 1 | – | +4.40 | +0.1100 [+0.0000, +0.2000] | +0.06 | – |" in text
