"""sed.bin.ablations: bad pairs are named."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("pair", ["x", "=x.json", "conf/ast_sed.yaml="])
def test_a_pair_without_a_half_is_named(pair: str) -> None:
    command = [sys.executable, "-m", "sed.bin.ablations", pair]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and f"'{pair}' is not config=result.json" in run.stderr.splitlines()[-1]
