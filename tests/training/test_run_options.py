"""Runtime options: those that may change on resume are options, and do not affect the weights."""

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
@pytest.mark.parametrize("changes", [{"cache": "none", "ahead": 3}, {"checkpoint_seconds": 0.0}, {"loggers": ["none"]}])
def test_runtime_options_do_not_affect_the_weights(
    dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert set(changes) <= set(RUNTIME)
    finals = []
    for name, config in (("a", tiny_config(epochs=1)), ("b", tiny_config(epochs=1, **changes))):
        trainer_of(config, dump, tmp_path / name).run()
        finals.append((tmp_path / name / "final.pt").read_bytes())
    assert finals[0] == finals[1]
