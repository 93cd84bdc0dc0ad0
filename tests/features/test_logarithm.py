"""The logarithm, its floor and its limits, against plain arithmetic."""

from __future__ import annotations

import math

import pytest
import torch

from sed.features.logarithm import logarithm

PLAIN = {"log": "ln", "power": 2, "log_floor": 1e-3, "log_floor_by": "max", "top_db": 0.0, "clamp": "none"}
MEL = torch.tensor([[0.0, 1e-4, 1.0], [10.0, 1e-2, 100.0]])


@pytest.mark.parametrize("log, power, factor", [("ln", 2, 1), ("ln", 1, 1), ("db", 2, 10), ("db", 1, 20)])
@pytest.mark.parametrize("by", ["max", "add"])
def test_units_and_floor_are_those_of_plain_arithmetic(log: str, power: int, factor: float, by: str) -> None:
    found = logarithm(MEL, {**PLAIN, "log": log, "power": power, "log_floor_by": by})
    take = math.log if log == "ln" else math.log10
    floored = [[x + 1e-3 if by == "add" else max(x, 1e-3) for x in row] for row in MEL.tolist()]
    assert found.flatten().tolist() == pytest.approx([factor * take(x) for row in floored for x in row], abs=1e-5)


def test_top_db_counts_from_the_maximum_of_the_clip() -> None:
    settings = {**PLAIN, "log": "db", "log_floor": 1e-10, "top_db": 30.0}
    batch = torch.stack([MEL, MEL / 1000])
    found = logarithm(batch, settings)
    assert found[0].tolist() == [[-10, -10, 0], [10, -10, 20]]
    torch.testing.assert_close(found[1], found[0] - 30, rtol=0, atol=1e-4)
    inside = torch.tensor([[[True], [False]]] * 2)  # the second frame is beyond the clip's end
    assert logarithm(batch, settings, inside)[0, 0].tolist() == pytest.approx([-30, -30, 0])


def test_clamp_comes_last() -> None:
    found = logarithm(MEL, {**PLAIN, "log": "db", "top_db": 60.0, "clamp": "-20,15"})
    assert found.tolist() == [[-20, -20, 0], [10, -20, 15]]
