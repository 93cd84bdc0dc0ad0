"""sed.bin.average_scores."""

from pathlib import Path

import pytest
from tiny_model import call

from sed.bin import average_scores


def test_scores_given_twice_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They would be averaged once, but counted twice in the log."""
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).touch()
    members = [tmp_path / name for name in ("a.h5", "b.h5", "a.h5")]
    assert call(average_scores, *members, tmp_path / "mean.h5") == 2
    assert "a.h5: given twice" in capsys.readouterr().err
