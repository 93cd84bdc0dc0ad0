"""Choice of the training regimes of protocols A and B from results on the split."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from local.real_sounds import regime
from sed.errors import UserError

KINDS = {"ast_gru": ("mean", 1), "ast_sed": ("fte", 10)}


def run(system: str, psds1: float, seed: int = 1, name: str = "", **changed: Any) -> dict[str, Any]:
    pooling, upsample = KINDS[system]
    settings = {
        "encoder": "ast",
        "pooling": pooling,
        "upsample": upsample,
        "clip_pooling": "linear_softmax",
        "frozen_epochs": 0,
    }
    settings |= {"lr": 0.001, "encoder_lr": 0.00005, **changed}
    return {"config": name or system, "seed": seed, "event_f1_macro": 0.1, "psds1": psds1, "psds2": 0.2,
            "settings": settings}  # fmt: skip


RUNS = [
    run("ast_gru", 0.30),
    run("ast_sed", 0.10),
    run("ast_gru", 0.20, name="ast_gru_f", frozen_epochs=6),
    run("ast_gru", 0.26, seed=2, name="ast_gru_f", frozen_epochs=6),
    run("ast_sed", 0.29, name="ast_sed_f", frozen_epochs=6),
    run("ast_gru", 0.40, name="ast_gru_a", frozen_epochs=6, clip_pooling="attention", encoder_lr=0.0003),
    run("ast_sed", 0.28, name="ast_sed_r", frozen_epochs=3, encoder_lr=0.0003),
    {"config": "crnn", "seed": 1, "psds1": 0.9, "settings": {"encoder": "cnn", "pooling": "mean", "upsample": 1}},
]


def test_protocol_a_has_one_regime_for_all_and_b_the_best_of_each() -> None:
    chosen, experiments = regime.choose(RUNS)
    assert chosen["protocol_a"]["frozen_epochs"] == 6
    # The mean over the systems of their means over seeds: 6 epochs (.23 + .29) / 2, 0 epochs (.30 + .10) / 2.
    # AST-GRU alone is better with 0.
    assert chosen["protocol_a"]["mean_psds1"] == pytest.approx({"0": 0.2, "6": 0.26})
    gru = chosen["protocol_b"]["ast_gru"]
    assert (gru["clip_pooling"], gru["encoder_lr"], gru["psds1"]) == ("attention", 0.0003, 0.40)
    assert chosen["protocol_b"]["ast_sed"]["frozen_epochs"] == 6
    assert experiments == {
        "ast_gru": "ast_gru_f_seed1", "ast_sed": "ast_sed_f_seed1",
        "ast_gru_tuned": "ast_gru_a_seed1", "ast_sed_tuned": "ast_sed_f_seed1",
    }  # fmt: skip
    assert len(chosen["tried"]) == 6  # seven trainings of an AST, two of them seeds of one config


def test_a_regime_without_results_of_all_systems_is_not_chosen() -> None:
    with pytest.raises(UserError, match="no number of frozen epochs was tried with all systems"):
        regime.choose([RUNS[0], RUNS[4]])  # AST-GRU with 0 epochs, AST-SED with 6
    with pytest.raises(UserError, match="no number of frozen epochs"):
        regime.choose([RUNS[-1]])  # only the CRNN


def test_the_command_writes_the_regimes_and_prints_the_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in RUNS))
    monkeypatch.setattr(sys, "argv", ["regime", str(tmp_path), str(tmp_path / "regime.json")])
    with pytest.raises(SystemExit) as stop:
        regime.main()
    assert stop.value.code == 0
    assert json.loads((tmp_path / "regime.json").read_text())["protocol_a"]["clip_pooling"] == "linear_softmax"
    assert "ast_gru_tuned\tast_gru_a_seed1" in capsys.readouterr().out.splitlines()
