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
