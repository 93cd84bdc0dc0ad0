"""Options of sed.bin.benchmark."""

from __future__ import annotations

import pytest

from sed.bin import benchmark


def test_one_batch_size_is_that_of_every_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--train-sets", "strong_real,weak,pseudo", "--batch-sizes", "4"])
    assert benchmark.parse().batch_sizes == [4, 4, 4]
