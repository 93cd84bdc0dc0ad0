"""Options of sed.bin.benchmark."""

from __future__ import annotations

import pytest

from sed.bin import benchmark
from sed.errors import UserError


def test_one_batch_size_is_that_of_every_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--train-sets", "strong_real,weak,pseudo", "--batch-sizes", "4"])
    assert benchmark.parse().batch_sizes == [4, 4, 4]


def test_clips_are_deseds_unless_given_and_each_set_needs_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ["benchmark", "--train-sets", "strong_real,pseudo", "--batch-sizes", "4"]
    monkeypatch.setattr("sys.argv", sets)
    assert benchmark.parse().clips == [3470, 1578 + 14412]  # pseudo: the weak and the unlabelled clips
    monkeypatch.setattr("sys.argv", [*sets, "--clips", "10,20"])
    assert benchmark.parse().clips == [10, 20]
    for option in ("--clips", "--batch-sizes"):
        monkeypatch.setattr("sys.argv", [*sets, option, "10,20,30"])
        with pytest.raises(UserError, match=f"{option} has 3 numbers for 2 sets"):
            benchmark.parse()
    monkeypatch.setattr("sys.argv", ["benchmark", "--train-sets", "kitchen"])
    with pytest.raises(UserError, match="--clips is missing: DESED has no set 'kitchen'"):
        benchmark.parse()
