"""Scored experiments of several configs and seeds, as a recipe leaves them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sed.data.tables import Event, write_events_tsv
from sed.evaluation.confidence import bootstrap
from sed.evaluation.reports.seeds import reduce

LABELS = ("Dog", "Frying")
TRUTH = {"a": [Event(1.0, 1.3, "Dog"), Event(2.0, 9.0, "Frying")], "b": [Event(0.0, 0.8, "Dog")]}
SAMPLES = 40


def put(
    exp: Path, name: str, seed: int, f1: float, *, folder: str = "validation", noise: np.ndarray | None = None
) -> None:
    """Write a scored experiment: metrics `f1`, but no psds2; bootstrap samples `f1` + `noise`, of shape (SAMPLES,)."""
    at = exp / f"{name}_seed{seed}" / folder
    at.mkdir(parents=True)
    numbers = dict.fromkeys(reduce.NUMBERS, f1) | {"psds2": None}
    per_class = {
        label: {"ground_truth": True, "events": 2, **dict.fromkeys(reduce.CLASS_NUMBERS, f1)} for label in LABELS
    }
    per_class["Absent"] = {"ground_truth": False, "events": 0, **dict.fromkeys(reduce.CLASS_NUMBERS)}
    model = {"config": {"lr": 0.001, "encoder_lr": 0.0001}, "parameters": 5_000_000, "step": 2000, "seconds": 60.0,
             "device": "a device"}  # fmt: skip
    set_name = "strong_real" if folder == "strong_real" else "validation"
    result = {"set": set_name, "clips": 2, "clips_expected": 2, **numbers, "per_class": per_class, "model": model,
              "post_processing": {"steps": ["median"]}, "git": "abc"}  # fmt: skip
    (at / "result.json").write_text(json.dumps(result))
    write_events_tsv(at / "events.tsv", {"a": [Event(1.05, 1.3, "Dog"), Event(2.0, 5.0, "Frying")], "b": []})
    names = ["event_f1_macro", "psds1", *(f"{label}\t{n}" for label in LABELS for n in reduce.CLASS_MARGINS)]
    drawn = np.concatenate([[0.0], np.zeros(SAMPLES) if noise is None else noise])
    values = np.tile(f1 + drawn, (len(names), 1))
    bootstrap.save(at / "bootstrap.npz", bootstrap.Samples(names=names, values=values, clips="the same", seed=0))


def experiments(folder: Path) -> Path:
    """Write AST-GRU and AST-SED with two seeds each; seeds and drawn clips change the metrics of both equally."""
    noise = np.random.default_rng(0).normal(0, 0.05, SAMPLES)
    for seed, luck in ((1, 0.0), (2, 0.1)):
        put(folder, "ast_gru", seed, 0.3 + luck, noise=noise)
        put(folder, "ast_sed", seed, 0.4 + luck, noise=noise)
    put(folder, "ast_sed", 1, 0.45, folder="csebbs", noise=noise)
    put(folder, "ast_sed", 1, 0.9, folder="strong_real")
    put(folder, "crnn", 3, 0.1, noise=noise)  # no seed in common with the others
    return folder
