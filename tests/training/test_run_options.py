"""Runtime options: they exist, are read without torch, and change no weights unless they change the rounding."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_training import trainer_of

from sed.config import default_options
from sed.training.run_options import RUNTIME


def test_runtime_options_exist() -> None:
    assert set(RUNTIME) < set(default_options("sed.training.build"))
    assert not set(RUNTIME) & {"seed", "precision", "lr", "batch_sizes", "accumulate"}


def test_options_are_readable_without_torch() -> None:
    code = (
        "import sys, sed.training.run_options, sed.training.pretraining.run_options; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.thorough
def test_runtime_options_but_those_that_change_the_rounding_do_not_affect_the_weights(
    dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    finals = []
    several: list[dict[str, Any]] = [
        {}, {"cache": "none", "ahead": 3}, {"checkpoint_seconds": 0.0}, {"loggers": ["none"]}
    ]  # fmt: skip
    for number, changes in enumerate(several):
        assert set(changes) <= set(RUNTIME)
        folder = tmp_path / str(number)
        trainer_of(tiny_config(epochs=1, **changes), dump, folder).run()
        finals.append((folder / "final.pt").read_bytes())
        assert finals[0] == finals[-1], changes
