"""Options of sed.bin.infer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_model import call, pack_tiny

from sed.bin import infer


def test_the_only_network_of_a_packed_model_is_not_reported_as_a_student(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = pack_tiny(tmp_path) / "model"
    capsys.readouterr()
    assert call(infer, "--model", model, "--which", "student", tmp_path, tmp_path / "scores.h5") == 2
    assert "model: a packed model has one network (leave out --which)" in capsys.readouterr().err
