"""What sed.bin.train and sed.bin.pretrain make of their options before they train."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sed.bin import pretrain, train

CONF = Path(__file__).resolve().parents[2] / "conf" / "real_sounds"


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, module: ModuleType, *args: str) -> Any:
    """Return the config that a command would run with, or what it says of why it does not."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *args, "--show-config"])
    with pytest.raises(SystemExit) as stop:
        module.main()
    out, err = capsys.readouterr()
    return yaml.safe_load(out) if stop.value.code == 0 else err


@pytest.mark.parametrize("module, config", [(train, "ast_sed"), (pretrain, "pretrain")])
def test_step_scale_is_stored_as_the_steps_that_it_makes(monkeypatch, capsys, module, config):
    options = ["--config", str(CONF / f"{config}.yaml")]
    whole = shown(monkeypatch, capsys, module, *options)
    tenth = shown(monkeypatch, capsys, module, *options, "--step-scale", "0.1")
    assert whole != tenth and whole.keys() == tenth.keys() and "step_scale" not in whole
    changed = {key: (whole[key], tenth[key]) for key in whole if whole[key] != tenth[key]}
    assert changed.keys() == {"steps_per_epoch", "warmup_steps"}
    assert all(small * 10 == large for large, small in changed.values())
    assert shown(monkeypatch, capsys, module, *options, "--step_scale=1") == whole
    assert "--step-scale" in shown(monkeypatch, capsys, module, *options, "--step-scale", "0")


def test_one_batch_size_is_that_of_every_set(monkeypatch, capsys):
    one = shown(monkeypatch, capsys, train, "--train-sets", "strong_real,weak,pseudo", "--batch-sizes", "4")
    assert one["batch_sizes"] == [4, 4, 4]
    several = shown(monkeypatch, capsys, train, "--train-sets", "strong_real,weak,pseudo", "--batch-sizes", "4,2")
    assert several["batch_sizes"] == [4, 2]  # refused once the sets are read
