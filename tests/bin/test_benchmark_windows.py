from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_model import call, save_tiny

from sed.bin import benchmark_windows
from sed.data.synthesis.sound_families import FAMILIES
from sed.prediction.soundscapes import Recording


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "ast", labels=sorted(FAMILIES))


@pytest.mark.thorough
def test_the_table_has_a_line_for_every_setting(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--short", 2, "--long", 0, "--kinds", "sparse", "--overlaps", "0", "--samples", 100, "--jobs", 1]
    assert call(benchmark_windows, *sizes, "--device", "cpu", model) == 0
    title, _, *lines = capsys.readouterr().out.strip().splitlines()
    assert "sparse" in title and "events in 2 recordings" in title
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells[2:]] == [
        "cut into clips",
        "default",
        "--no-centre-events",
        "--centre-events --overlap 0",
        "--no-centre-events --overlap 0",
    ]
    assert {len(row) for row in cells} == {8}
    # neither the clips nor the default have a difference to themselves
    assert cells[2][4] == "" and cells[3][3] == "" and "[" in cells[4][3]
    assert all(0 <= float(row[2]) <= 1 for row in cells[2:])


def test_recordings_of_each_length_are_drawn_independently() -> None:
    drawn: list[np.ndarray] = []

    class Counted:
        """Stand-in for `Counts`."""

        system = np.zeros(1)

        def resampled(self, weights: np.ndarray) -> Counted:
            drawn.append(weights)
            return self

        def total(self) -> SimpleNamespace:
            return SimpleNamespace(macro=lambda: 0.0)

        def macro(self) -> np.ndarray:
            return np.zeros(1 + 100)

    settings: Any = [SimpleNamespace(name=name, whole=Counted(), pieces=Counted()) for name in ("clips", "default")]
    recordings = [Recording(np.zeros(0), [], minutes) for minutes in [10] * 4 + [1] * 4]
    benchmark_windows.table(settings, recordings, samples=100, seed=0)
    # row 0 has each recording once, the others are the bootstrap samples
    weights = next(one for one in drawn if len(one) == 1 + 100)
    long, short = weights[:, :4], weights[:, 4:]
    assert (weights[0] == 1).all() and (long.sum(1) == 4).all() and (short.sum(1) == 4).all()
    assert (long[1:] != short[1:]).any(1).mean() > 0.5


@pytest.mark.parametrize(
    "options, said",
    [
        (["--kinds", "loud"], "--kinds loud: unknown"),
        (["--short", 0, "--long", 0], "nothing to mix"),
        (["--soundbank", "nowhere"], "nowhere: no such soundbank"),
        (["--overlaps", "0.5,0.95"], "'0.5,0.95' are not numbers from 0 to 0.9"),
        (["--overlaps", "much"], "'much' are not numbers"),
    ],
)
def test_what_cannot_be_compared_is_named(
    model: Path, options: list[object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(benchmark_windows, "--short", 1, "--long", 0, "--jobs", 1, *options, model) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_model_is_named_before_anything_is_mixed(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_windows, "Mix", None)
    assert call(benchmark_windows, "--device", "cpu", model, "nowhere") == 2
    assert "nowhere: no such model" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.thorough
def test_a_model_of_other_labels_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = save_tiny(tmp_path / "other")
    assert call(benchmark_windows, "--short", 2, "--long", 0, "--kinds", "dense", "--jobs", 1, other) == 2
    assert "other: does not know " in capsys.readouterr().err
