"""Speed of a pre-training: its parts are measured, and nothing is written."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from sed.bin import benchmark_pretraining
from sed.training.pretraining.benchmark import measure

PARTS = ["inputs", "clips", "features", "update", "step"]


@pytest.mark.parametrize(("name", "parts"), [("bank", PARTS), ("weak", [part for part in PARTS if part != "features"])])
def test_each_part_is_timed(pretraining, tmp_path, name, parts):
    run = pretraining(name, tmp_path / "out.pth", procedural=0)
    rows = {row.name: row for row in measure(run, 3)}
    assert list(rows) == parts
    assert all(row.clips_per_second == pytest.approx(4 / (row.milliseconds / 1e3)) for row in rows.values())


def test_the_command_estimates_the_whole_and_writes_nothing(bank, monkeypatch, capsys, tmp_path):
    conf = Path(__file__).resolve().parents[3] / "conf/mini/pretrain.yaml"
    monkeypatch.chdir(tmp_path)
    small = [
        "--batch-size",
        "2",
        "--steps-per-epoch",
        "6",
        "--epochs",
        "5",
        "--timed",
        "1",
        "--procedural",
        "0",
        "--nj",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["benchmark_pretraining", "--config", str(conf), *small, str(bank)])
    with pytest.raises(SystemExit) as stopped:
        benchmark_pretraining.main()
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert re.findall(r"^(\w+)  +\d", out, flags=re.M) == PARTS
    assert re.search(r"^30 steps: \d+\.\d minutes$", out, flags=re.M)
    assert list(tmp_path.iterdir()) == []
