"""sed.bin.synthesize: --force, and failures of its workers; tests/data/synthesis has the corpus that they make."""

from __future__ import annotations

from argparse import Namespace
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tiny_model import call

from sed.bin import synthesize
from sed.data.synthesis.corpus import PLANS, blocks
from sed.errors import RunError


class BrokenPool(ProcessPoolExecutor):
    """Pool whose worker has died before the first task is submitted."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        raise BrokenProcessPool


def test_force_removes_the_features_of_the_earlier_sounds(tmp_path: Path) -> None:
    """Once, a run after a killed --force took them for those of the new sounds, which have the same names."""
    sizes = [f"--{name.replace('_', '-')}={int(name == 'pretrain')}" for name in PLANS]
    options = [*sizes, "--nj=1", "--pretrain-seconds=0.5", tmp_path]
    assert call(synthesize, *options) == 0
    features = [tmp_path / "pretrain" / name for name in ("feats.1.h5", ".feats.2.h5.part")]
    for path in features:
        path.touch()
    assert call(synthesize, *options) == 0
    assert all(path.exists() for path in features)
    assert call(synthesize, "--seed=1", "--force", *options) == 0
    assert not any(path.exists() for path in features)


def test_a_worker_that_dies_before_all_blocks_are_submitted_is_a_run_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesize, "ProcessPoolExecutor", BrokenPool)
    options = Namespace(nj=2, soundbank="", seed=0)
    with pytest.raises(RunError, match="a worker process died"):
        synthesize._make(blocks({"weak": 2}), tmp_path, options, {"weak": 1.0}, ".wav")
