"""sed.bin.ablations: bad pairs are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.thorough
@pytest.mark.parametrize("pair", ["x", "=x.json", "conf/ast_sed.yaml="])
def test_a_pair_without_a_half_is_named(pair: str) -> None:
    command = [sys.executable, "-m", "sed.bin.ablations", pair]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and f"'{pair}' is not config=result.json" in run.stderr.splitlines()[-1]


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "folder"), [("x.yaml", "lr=2e-4"), ("lr=2e-4.yaml", "x"), ("a=b.yaml", "a=b")])
def test_both_paths_of_a_pair_may_have_an_equals_sign(tmp_path: Path, config: str, folder: str) -> None:
    (tmp_path / config).write_text("lr: 2e-4\n")
    command = [sys.executable, "-m", "sed.bin.ablations", f"{config}={folder}/result.json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert f" {folder}/result.json: no such result" in run.stderr
