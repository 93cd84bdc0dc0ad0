"""The tutorial notebook's cells run, in order, with a tiny model and a recording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paths import ROOT
from tiny_model import save_tiny, write_sounds

NOTEBOOK = ROOT / "egs" / "own_data" / "tutorial.ipynb"


@pytest.mark.thorough
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    monkeypatch.setenv("SED_MODEL", str(save_tiny(tmp_path / "model")))
    monkeypatch.setenv("SED_RECORDING", str(write_sounds(tmp_path / "a.wav", 12.5, 16000)))
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 6
    names: dict[str, object] = {}
    for cell in cells:
        assert not cell["outputs"] and cell["execution_count"] is None, "clear the outputs before committing"
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["events"] and names["result"]
    assert "event-based F1" in capsys.readouterr().out
