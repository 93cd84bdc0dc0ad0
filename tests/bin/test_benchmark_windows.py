from pathlib import Path

import pytest
from tiny_model import call, save_tiny

from sed.bin import benchmark_windows
from sed.data.synthesis.sound_families import FAMILIES


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
