"""Runtime options of pre-training, of which those that change no rounding change no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sed.config import default_options
from sed.training.pretraining.pretraining import Pretraining
from sed.training.pretraining.run_options import RUNTIME


def test_runtime_options_exist() -> None:
    assert set(RUNTIME) < set(default_options("sed.training.pretraining.pretraining"))
    assert not set(RUNTIME) & {"seed", "precision", "lr", "batch_size"}


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        ("weak", {"cache": "none", "ahead": 3}),
        ("weak", {"checkpoint_seconds": 0.0}),
        ("weak", {"loggers": ["jsonl"]}),
        ("bank", {"nj": 1}),
    ],
)
def test_runtime_options_but_those_that_change_the_rounding_do_not_affect_the_weights(
    pretraining: Callable[..., Pretraining], tmp_path: Path, data: str, changes: dict[str, object]
) -> None:
    assert set(changes) <= set(RUNTIME)
    pretraining(data, tmp_path / "a.pth", epochs=1, procedural=2).run()
    pretraining(data, tmp_path / "b.pth", epochs=1, procedural=2, **changes).run()
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert (tmp_path / "b.run" / "log.jsonl").exists() == (changes.get("loggers") == ["jsonl"])
