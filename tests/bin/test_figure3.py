"""Options of sed.bin.figure3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_model import call

from sed.bin import figure3


@pytest.mark.parametrize(
    ("classes", "message"),
    [("Cow,Dgo", "no class 'Dgo' (there are Cow, Dog)"), ("a,b,c,d,e", "5 classes (name at most")],
)
def test_classes_that_cannot_be_drawn_are_not_replaced_by_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: str, message: str
) -> None:
    (tmp_path / "config.yaml").write_text("encoder: ast\nmel_bins: 16\n")  # one band
    result = tmp_path / "swapped" / "band_00" / "result.json"
    result.parent.mkdir(parents=True)
    found = {label: {"ground_truth": True, "event_f1": 0.5} for label in ("Cow", "Dog")}
    result.write_text(json.dumps({"set": "validation", "clips": 1, "clips_expected": 1, "per_class": found}))
    assert call(figure3, "--model", tmp_path, "--classes", classes, tmp_path) == 2
    assert message in capsys.readouterr().err
    assert call(figure3, "--model", tmp_path, tmp_path) == 0  # DESED's classes, the default, are replaced
