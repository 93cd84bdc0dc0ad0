"""Compiled loops: the same results as in Python, and no need for a folder that can be written."""

from __future__ import annotations

from collections.abc import Callable

import numba
import pytest

from sed.evaluation.metrics.jit import compiled


def gaps(values: tuple[float, ...]) -> float:
    total = 0.0
    for index in range(len(values) - 1):
        total += abs(values[index + 1] - values[index])
    return total


def test_a_compiled_function_gives_what_python_gives() -> None:
    values = (0.1, 0.7, -0.2, 5.0)
    assert compiled(gaps)(values) == gaps(values)


def test_without_a_cache_it_compiles_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    njit = numba.njit

    def refusing(**options: bool) -> Callable[..., object]:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", refusing)
    assert compiled(gaps)((1.0, 3.0)) == 2.0
    assert [bool(options.get("cache")) for options in asked] == [True, False]
