import json
import sys

import pytest

from sed.bin import choose_rates
from sed.evaluation.reports.seeds import store


def put(folder, config, head, encoder, seed, psds1):
    """Store a result of egs/real_sounds/run.sh --rates, with the keys that choose_rates reads; rates are text."""
    result = {
        "config": f"{config}_lr{head}_{encoder}", "seed": seed, "psds1": psds1, "psds2": 0.5, "event_f1_macro": 0.2,
        "steps": 2000, "settings": {"lr": float(head), "encoder_lr": float(encoder)},
    }  # fmt: skip
    store.add_runs(folder, [result])


def choose(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["choose_rates", *map(str, args)])
    with pytest.raises(SystemExit) as stop:
        choose_rates.main()
    return stop.value.code


def test_the_best_mean_over_seeds_wins_for_each_config(tmp_path, monkeypatch, capsys):
    put(tmp_path, "ast_sed", "1e-3", "1e-4", 1, 0.30)
    put(tmp_path, "ast_sed", "1e-3", "1e-4", 2, 0.32)
    put(tmp_path, "ast_sed", "3e-3", "1e-4", 1, 0.36)  # the best seed, but not the best mean
    put(tmp_path, "ast_sed", "3e-3", "1e-4", 2, 0.20)
    put(tmp_path, "ast_gru", "3e-4", "3e-5", 1, 0.10)
    others = ("ast_sed", "ast_sed_frozen_epochs_6_encoder_lr_0.0003")  # the config's own rates; those of run.sh --vary
    store.add_runs(tmp_path, [{"config": config, "seed": 1} for config in others])
    assert choose(monkeypatch, tmp_path, tmp_path / "rates.json") == 0
    chosen = json.loads((tmp_path / "rates.json").read_text())
    assert {name: (row["lr"], row["encoder_lr"]) for name, row in chosen.items()} == {
        "ast_gru": (3e-4, 3e-5),
        "ast_sed": (1e-3, 1e-4),
    }
    best, other = chosen["ast_sed"]["tried"]
    assert best["psds1"] == pytest.approx(0.31) and best["seeds"] == [1, 2] and other["psds1"] == pytest.approx(0.28)
    assert capsys.readouterr().out.count("<- chosen") == 2


def test_the_best_experiment_is_named_as_it_was_typed(tmp_path, monkeypatch, capsys):
    put(tmp_path, "ast_sed", "1e-3", "1e-4", 1, 0.30)
    put(tmp_path, "ast_sed", "3e-3", "1e-4", 1, 0.36)
    put(tmp_path, "ast_gru", "3e-4", "3e-5", 1, 0.10)
    assert choose(monkeypatch, "--best", "ast_sed", tmp_path, tmp_path / "rates.json") == 0
    printed = capsys.readouterr()
    assert printed.out == "ast_sed_lr3e-3_1e-4\n" and printed.err.count("<- chosen") == 2
    # without results of that config: no name, by which egs/real_sounds/tune.sh leaves it out
    assert choose(monkeypatch, "--best", "crnn", tmp_path, tmp_path / "rates.json") == 0
    assert capsys.readouterr().out == ""


def test_without_results_it_says_who_makes_them(tmp_path, monkeypatch, capsys):
    assert choose(monkeypatch, tmp_path, tmp_path / "rates.json") == 2
    assert "run.sh --rates" in capsys.readouterr().err
    assert not (tmp_path / "rates.json").exists()
