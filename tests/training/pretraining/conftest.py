"""Fixtures of very short pre-trainings on the CPU: config, soundbank, builder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from sed.training.pretraining.pretraining import Pretraining

LABELS = ["Cat", "Dog", "Speech"]


@pytest.fixture
def pretraining_config(tiny_config: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    from sed.config import default_options

    config = default_options("sed.features.logmel", "sed.models.detector", "sed.training.pretraining.pretraining")
    config.update({key: value for key, value in tiny_config().items() if key in config})
    return {**config, "batch_size": 4, "steps_per_epoch": 5, "epochs": 2, "lr": 1e-2, "loggers": ["none"]}


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soundbank with one noise per label."""
    root, rng = tmp_path_factory.mktemp("bank"), np.random.default_rng(0)
    for split, label in itertools.product(("train", "validation"), LABELS):
        folder = root / split / "foreground" / label
        folder.mkdir(parents=True)
        soundfile.write(folder / "one.wav", 0.1 * rng.normal(size=8000), 16000)
    return root


@pytest.fixture
def pretraining(dump: Path, bank: Path, pretraining_config: dict[str, Any]) -> Callable[..., Pretraining]:
    """Function that builds a pre-training from a set of the dump (or `bank`), a path to write and changed options."""
    import torch

    from sed.training.pretraining.build import build_pretraining

    def build(name: str, out: Path, **changes: Any) -> Pretraining:
        config = {**pretraining_config, **changes}
        assert config.keys() == pretraining_config.keys()
        source, labels = (bank, None) if name == "bank" else (dump / name, LABELS)
        return build_pretraining(config, source, out, labels, device=torch.device("cpu"))

    return build
