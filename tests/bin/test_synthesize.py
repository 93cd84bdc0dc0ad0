"""Failures of the workers of sed.bin.synthesize; tests/data/synthesis has the corpus that they make."""

from __future__ import annotations

from argparse import Namespace
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sed.bin import synthesize
from sed.data.synthesis.corpus import blocks
from sed.errors import RunError


class BrokenPool(ProcessPoolExecutor):
    """Pool whose worker has died before the first task is submitted."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        raise BrokenProcessPool


def test_a_worker_that_dies_before_all_blocks_are_submitted_is_a_run_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesize, "ProcessPoolExecutor", BrokenPool)
    options = Namespace(nj=2, soundbank="", seed=0)
    with pytest.raises(RunError, match="a worker process died"):
        synthesize._make(blocks({"weak": 2}), tmp_path, options, {"weak": 1.0}, ".wav")
