"""The tables of the two protocols and of the grid."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from local.real_sounds.protocols import (
    CARRIED,
    FROZEN,
    GRID,
    OTHER_ENCODERS,
    PLAIN,
    SAME,
    STEPS_MS,
    SYSTEM,
    beyond,
    carried,
    comparators,
    grid,
    grid_pairs,
    mixup,
    protocol_a,
    protocol_b,
)
from sed.config.experiments import Experiment, combinations, expand
from sed.evaluation.reports.seeds.reduce import SETTINGS
from sed.models.encoders import build_encoder
from tests.helpers.resolved_configs import CONF, ROOT, parse

CONFIGS = CONF / "real_sounds"
FAMILIES = {"AST": "ast_sed", "ATST-Frame": "atst_sed", "BEATs": "beats_sed"}
WAY = {"mean": ("mean", 1), "lgd": ("mean", 10), "fte": ("fte", 1), "sed": ("fte", 10)}


def run(seed: int, value: float, kind: str = "sed", **changed: Any) -> dict[str, Any]:
    pooling, upsample = WAY[kind]
    settings = {"encoder": "ast", "pooling": pooling, "upsample": upsample, "clip_pooling": "linear_softmax"}
    settings |= {"frozen_epochs": 6, "lr": 0.001, "encoder_lr": 0.00005, "epochs": 15, **changed}
    numbers = {"event_f1_macro": value, "psds1": value / 2, "psds1_class_mean": value, "psds2": None}
    return {"seed": seed, **numbers, "settings": settings, "post_processing": ["median"]}


def margin(a: str, b: str, value: float) -> dict[str, Any]:
    number = {"value": value, "low": value - 0.01, "high": value + 0.01}
    return {"a": a, "b": b, "seeds": [1, 2], "numbers": {"event_f1_macro": number, "psds1": number}}


def test_protocol_a_stands_beside_the_paper() -> None:
    results = {
        "ast_sed": [run(1, 0.4), run(2, 0.5)],
        "crnn": [run(1, 0.1)],
        "ast_gru": [run(1, 0.3, "mean")],
        "other": [run(1, 0.9)],
    }
    lines = protocol_a(results, [margin("ast_gru", "ast_sed", 0.1)], [{"names": ["crnn_seed1"], "text": "Slow."}])
    assert [line.split(" | ")[0] for line in lines[2:-1]] == ["| CRNN (1)", "| AST-GRU", "| AST-SED (ratio 10)"]
    # 59.60 and 0.5140 are the paper's
    assert "| 59.60 | 0.2250 ± 0.0354 | 0.5140 | 0.4500 ± 0.0707 | – | 0.2000 | 2 | AST-GRU |" in lines[4]
    assert "+10.00 [+9.00, +11.00] | +0.1000 [+0.0900, +0.1100] |" in lines[4]
    assert lines[3].endswith("| 1 | – | – | – |")  # no margin over the CRNN is known
    assert protocol_a({"crnn": results["crnn"]}, [], []) == []


def test_protocol_b_shows_the_chosen_settings() -> None:
    tuned = run(1, 0.4, "mean", clip_pooling="attention", encoder_lr=0.0003)
    results = {"crnn": [run(1, 0.1, encoder="cnn")], "ast_gru_tuned": [tuned], "ast_sed_tuned": [run(1, 0.5)]}
    lines = protocol_b(results, [margin("crnn", "ast_gru_tuned", 0.3)], [])
    way = "attention, softmax over classes (D), frozen for 6 epochs, encoder at 0.3 of the head's rate"
    assert lines[2].startswith("| CRNN | linear softmax (L) | 10.00 |")
    assert lines[3].startswith(f"| AST-GRU | {way} | 40.00 |")
    assert "| CRNN | +30.00 [+29.00, +31.00] |" in lines[3]
    assert "encoder at 0.05 of the head's rate" in lines[4]
    assert protocol_b({"ast_sed": [run(1, 0.5)]}, [], []) == []


def test_the_paper_s_rivals_stand_beside_ast_sed_in_both_ways() -> None:
    cnn = {"encoder": "cnn", "frozen_epochs": 0, "encoder_lr": 0.001}
    results = {
        "ast_sed_tuned": [run(1, 0.4, encoder_lr=0.0003)],
        "fdy_crnn": [{**run(1, 0.5, **cnn), "parameters": 11_061_468}],
        f"fdy_crnn{FROZEN}": [run(1, 0.6, encoder="cnn", encoder_lr=0.0003)],
    }
    slow = [{"names": ["fdy_crnn_seed1"], "text": "Slow."}]
    lines = comparators(results, [margin("fdy_crnn", "ast_sed_tuned", -0.1)], slow)
    assert lines[2].startswith("| FDY-CRNN (1) | 11.06 M | not frozen, at 1 of the head's rate | 50.00 | 0.2500 |")
    assert lines[2].endswith("| 1 | -10.00 [-11.00, -9.00] | -0.1000 [-0.1100, -0.0900] |")
    assert lines[3].startswith("| FDY-CRNN | – | frozen for 6 epochs, at 0.3 of the head's rate | 60.00 | 0.3000 |")
    assert lines[3].endswith("| 1 | – | – |")
    assert lines[4].startswith("| AST-SED (ratio 10) |")
    assert comparators({"ast_sed_tuned": results["ast_sed_tuned"], "crnn": [run(1, 0.1)]}, [], []) == []


def test_trainings_beyond_the_paper_stand_below_ast_sed() -> None:
    results = {"fte_second": [{**run(1, 0.5), "steps": 1000}], "ast_sed_tuned": [{**run(1, 0.4), "steps": 1500}]}
    lines = beyond(results, [margin("ast_sed_tuned", "fte_second", 0.1)], [])
    assert lines[2].startswith("| AST-SED (ratio 10) | 1500 | 40.00 | 0.2000 |") and lines[2].endswith("| – | – |")
    assert lines[3].startswith(
        "| second stage of the augmented one: heavy consistency, also on mixtures | 1000 | 50.00 |"
    )
    assert lines[3].endswith("| +10.00 [+9.00, +11.00] | +0.1000 [+0.0900, +0.1100] |")
    assert beyond({"ast_sed_tuned": results["ast_sed_tuned"], "fte_only_tuned": [run(1, 0.1)]}, [], []) == []


def test_other_encoders_stand_below_the_ast_with_differences_from_their_plain_rows() -> None:
    results = {
        "beats_sed": [{**run(1, 0.5), "parameters": 7_569_336}, run(2, 0.6)],
        "beats_sed_pooling_mean_upsample_1": [run(1, 0.3)],
        "atst_sed": [run(1, 0.2)],
        "ast_gru": [run(1, 0.1)],
        "fte_only": [run(1, 0.4)],
    }
    margins = [margin("beats_sed_pooling_mean_upsample_1", "beats_sed", 0.2), margin("ast_gru", "fte_only", 0.3)]
    margins.append(margin("ast_sed", "atst_sed", -0.4))  # of another encoder
    lines = carried(results, margins, [{"names": ["atst_sed_seed1"], "text": "Slow."}])
    rows = [line.strip("| ").split(" | ") for line in lines[2:-1]]
    assert [row[:5] for row in rows] == [
        ["AST", "–", "mean", "100 ms", "10.00"],
        ["AST", "–", "FTE", "100 ms", "40.00"],
        ["ATST-Frame (1)", "–", "mean", "10 ms (LGD, ratio 4)", "20.00"],
        ["BEATs", "–", "mean", "160 ms", "30.00"],
        ["BEATs", "7.57 M", "FTE", "10 ms (LGD, ratio 16)", "55.00 ± 7.07"],
    ]
    assert rows[4][5:10] == ["0.2750 ± 0.0354", "0.5500 ± 0.0707", "–", "0.2500", "2"]
    none = ["–", "–"]
    assert [row[10:] for row in rows] == [
        none,
        ["+30.00 [+29.00, +31.00]", "+0.3000 [+0.2900, +0.3100]"],
        none,  # its plain row was not trained
        none,
        ["+20.00 [+19.00, +21.00]", "+0.2000 [+0.1900, +0.2100]"],
    ]
    assert {len(row) for row in rows} == {lines[0].count("|") - 1}


def test_other_encoders_have_no_table_of_the_ast_alone() -> None:
    assert carried({"ast_gru": [run(1, 0.1)], "ast_sed": [run(1, 0.4)], "other": [run(1, 0.9)]}, [], []) == []


@pytest.mark.parametrize("name", OTHER_ENCODERS)
def test_one_training_of_another_encoder_is_enough_for_the_table(name: str) -> None:
    assert len(carried({name: [run(1, 0.5)]}, [], [])) == 2 + 1 + 1  # head, one row, a blank line


def commands_of_the_manual() -> list[Experiment]:
    """Return the experiments of the manual's run.sh commands that vary other encoders than the AST."""
    experiments = []
    for line in re.findall(r"^./run.sh .*--vary.*$", (ROOT / "docs" / "beyond.md").read_text(), re.MULTILINE):
        words = shlex.split(line)
        varied = combinations(words[words.index("--vary") + 1].split())
        for config in words[words.index("--systems") + 1].split():
            if config in FAMILIES.values():
                experiments += expand(config, str(CONFIGS / f"{config}.yaml"), [], [], varied)
    return experiments


def test_the_manual_s_commands_train_the_rows_of_other_encoders() -> None:
    experiments = commands_of_the_manual()
    trained = {
        e.name: tuple((e.settings | dict(e.varied))[key] for key in ("encoder", "pooling", "upsample"))
        for e in experiments
    }
    kinds = {"ATST-Frame": "atst_frame", "BEATs": "beats"}
    assert {name: (encoder, pooling, int(ratio)) for name, (encoder, pooling, ratio) in trained.items()} == {
        name: (kinds[encoder], *kind) for encoder in kinds for kind, name in CARRIED[encoder].items()
    }


def test_all_encoders_are_trained_alike() -> None:
    configs = {encoder: parse(CONFIGS / f"{name}.yaml") for encoder, name in FAMILIES.items()}
    alike = [key for key in (*GRID, *SAME, "warmup_steps") if key != "input_padding"]
    ways = {encoder: {key: config[key] for key in alike} for encoder, config in configs.items()}
    assert ways["ATST-Frame"] == ways["BEATs"] == ways["AST"]
    for kind, name in CARRIED["AST"].items():
        config = parse(CONFIGS / f"{name}.yaml")
        assert (config["pooling"], config["upsample"]) == kind
        assert {key: config[key] for key in alike} == ways["AST"]


@pytest.mark.parametrize("encoder", CARRIED)
def test_time_steps_of_the_encoders_are_those_of_their_models(encoder: str) -> None:
    config = parse(CONFIGS / f"{FAMILIES[encoder]}.yaml")
    model = build_encoder(config)
    assert STEPS_MS[encoder] == pytest.approx(1000 * model.time_stride * config["frame_shift"])
    assert (model.grid[0] > 1) == any(pooling == "fte" for pooling, _ in CARRIED[encoder])
    assert PLAIN in CARRIED[encoder]


def test_the_grid_takes_its_cells_from_settings() -> None:
    results = {
        "ast_gru": [run(1, 0.30, "mean"), run(2, 0.32, "mean")],
        "ast_sed": [run(1, 0.4)],
        "ast_sed_csebbs": [{**run(1, 0.9), "post_processing": ["csebbs"]}],
        "ast_gru_clip_pooling_attention": [run(1, 0.35, "mean", clip_pooling="attention")],
        "ast_gru_tuned": [run(1, 0.35, "mean", clip_pooling="attention")],  # the same training once more
        "lgd_only_frozen_epochs_0": [run(1, 0.2, "lgd", frozen_epochs=0)],
        "ast_sed_long": [run(1, 0.8, epochs=30, frozen_epochs=12)],
        "fte_only_tuned": [run(1, 0.8, "fte", encoder_lr=0.0003, clip_pooling="attention")],
    }
    assert grid(results)[2:-1] == [
        "| linear softmax (L) | no | – | 20.00, 0.1000 (1) | – | – |",
        "| linear softmax (L) | 6 epochs | 31.00 ± 1.41, 0.1550 ± 0.0071 (2) | – | – | 40.00, 0.2000 (1) |",
        "| attention, softmax over classes (D) | 6 epochs | 35.00, 0.1750 (1) | – | – | – |",
    ]
    assert grid({"ast_sed": [run(1, 0.4)]}) == [] and grid({}) == []


def test_the_grid_shows_the_gains_over_ast_gru_of_the_same_row() -> None:
    results = {
        "ast_gru": [run(1, 0.30, "mean")],
        "ast_sed": [run(1, 0.4)],
        "ast_gru_clip_pooling_attention": [run(1, 0.35, "mean", clip_pooling="attention")],
        "ast_sed_clip_pooling_attention": [run(1, 0.45, clip_pooling="attention")],
        "lgd_only_clip_pooling_attention": [run(1, 0.45, "lgd", clip_pooling="attention")],
        "ast_gru_tuned": [run(1, 0.35, "mean", encoder_lr=0.0003)],
        "ast_sed_tuned": [run(1, 0.35, encoder_lr=0.0003)],
    }
    compared = [
        ("ast_gru_clip_pooling_attention", "lgd_only_clip_pooling_attention"),
        ("ast_gru_clip_pooling_attention", "ast_sed_clip_pooling_attention"),
    ]
    assert grid_pairs(results) == compared
    number = {"value": 0.1, "low": 0.05, "high": 0.15}
    margins = [{"a": a, "b": b, "numbers": {"event_f1_macro": number, "psds1": number}} for a, b in compared[1:]]
    gain = "+10.00 [+5.00, +15.00], +0.1000 [+0.0500, +0.1500]"
    assert grid(results, margins)[-2:] == [f"| attention, softmax over classes (D) | 6 epochs | – | – | {gain} |", ""]


def test_the_grid_has_ast_gru_s_remarks_at_the_row_and_others_at_the_gain() -> None:
    names = [f"{system}_clip_pooling_attention" for system in ("ast_gru", "ast_sed")]
    results = {
        "ast_gru": [run(1, 0.30, "mean")],
        names[0]: [run(1, 0.35, "mean", clip_pooling="attention")],
        names[1]: [run(1, 0.45, clip_pooling="attention")],
    }
    later = {"names": [f"{name}_seed1" for name in names], "text": "Later."}
    lost = {"names": [f"{names[1]}_seed1"], "text": "Lost."}
    number = {"value": 0.1, "low": 0.05, "high": 0.15}
    margins = [{"a": names[0], "b": names[1], "numbers": {"event_f1_macro": number, "psds1": number}}]
    gain, row = "+10.00 [+5.00, +15.00], +0.1000 [+0.0500, +0.1500]", "| attention, softmax over classes (D)"
    assert grid(results, margins, [later])[-2] == f"{row} (1) | 6 epochs | – | – | {gain} |"
    assert any(line.startswith(f"{row} (1) | 6 epochs | 35.00") for line in grid(results, margins, [later]))
    assert grid(results, margins, [lost])[-2] == f"{row} | 6 epochs | – | – | {gain} (1) |"
    assert grid(results, margins, [later, lost])[-2] == f"{row} (1) | 6 epochs | – | – | {gain} (1) (2) |"
    plain = {"names": [f"{names[0]}_seed1"], "text": "All gains of the row are over this one."}
    assert grid(results, margins, [plain])[-2] == f"{row} (1) | 6 epochs | – | – | {gain} |"


def test_the_first_of_two_configs_with_the_same_settings_counts_and_the_other_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    results = {
        "ast_sed": [run(1, 0.1)],
        "ast_sed_a": [run(1, 0.4, frozen_epochs=0)],
        "ast_sed_b": [run(1, 0.2, frozen_epochs=0), run(2, 0.4, frozen_epochs=0)],
        "ast_sed_c": [run(1, 0.4, frozen_epochs=0)],
    }
    assert grid(results)[2].endswith(" 40.00 ± 0.00, 0.2000 ± 0.0000 (2) |")
    assert [record.getMessage().partition(": left out")[0] for record in caplog.records] == ["ast_sed_b, seed 1"]


def test_mixup_has_its_own_table_and_is_not_in_the_grid() -> None:
    whole, half = {"mixup_probability": 1.0}, {"mixup_probability": 0.5}
    results = {
        "ast_gru": [run(1, 0.30, "mean", **whole)],
        "ast_sed": [run(1, 0.4, **whole), run(2, 0.5, **whole)],
        "ast_sed_mixup_probability_0.5": [run(1, 0.6, **half)],
        "ast_sed_encoder_lr_0.0003": [run(1, 0.7, **whole, encoder_lr=0.0003)],
        "ast_sed_clip_pooling_attention": [run(1, 0.2, **whole, clip_pooling="attention")],
        "ast_sed_mixup_probability_0.5_csebbs": [{**run(1, 0.9, **half), "post_processing": ["csebbs"]}],
    }
    rows = [line.strip("| ").split(" | ") for line in mixup(results)[2:-1]]
    assert [row[:2] for row in rows] == [
        ["all clips", "5e-05"],
        ["all clips", "0.0003"],
        ["50 % of the clips", "5e-05"],
    ]
    assert [row[5] for row in rows] == ["45.00 ± 7.07, 0.2250 ± 0.0354 (2)", "70.00, 0.3500 (1)", "60.00, 0.3000 (1)"]
    assert rows[2][2] == "–"
    assert len(grid(results)) == 2 + 2 + 1  # two poolings, and nothing of the other rows of mixup
    assert mixup({"ast_sed": results["ast_sed"]}) == []


OTHER = {"upsample": 5, "consistency_weight": 40.0, "ema_decay": 0.9, "steps_per_epoch": 50, "batch_sizes": [4]}


@pytest.mark.parametrize("key", OTHER)
@pytest.mark.parametrize(("table", "row"), [(grid, {"frozen_epochs": 0}), (mixup, {"mixup_probability": 0.5})])
def test_trainings_that_differ_from_protocol_a_in_another_setting_are_in_no_cell(
    table: Any, row: dict[str, Any], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored = {"mixup_probability": 1.0, "consistency_weight": 2.0, "ema_decay": 0.998}
    stored |= {"steps_per_epoch": 100, "batch_sizes": [8]}
    results = {"ast_sed": [run(1, 0.4, **stored)], "ast_sed_row": [run(1, 0.5, **{**stored, **row})]}
    without = table(results)
    assert len(without) == 2 + 2 + 1
    results["ast_sed_other"] = [run(seed, 0.9, **{**stored, key: OTHER[key]}) for seed in (1, 2)]
    assert table(results) == without and not caplog.records


def test_every_stored_setting_is_of_the_system_or_of_the_rows_or_compared() -> None:
    assert {*SYSTEM, *GRID, *SAME} == {*SETTINGS}
