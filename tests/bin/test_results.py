"""Options of sed.bin.results."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import call

from sed.bin import results


@pytest.mark.parametrize("name", ["RESULTS.csv", "RESULTS.tex"])
def test_an_output_named_like_the_csv_or_tex_beside_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert call(results, tmp_path, tmp_path / name) == 2
    assert f"{name}: would be overwritten by Markdown" in capsys.readouterr().err


def test_where_nothing_is_trained_the_message_does_not_send_to_the_stage_that_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stage 5 calls this command after the scores of all trained systems."""
    assert call(results, tmp_path) == 2
    said = capsys.readouterr().err
    assert "no result.json below it (train first: " in said and "stage 5" not in said
