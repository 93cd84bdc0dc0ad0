"""Results on two soundbanks are kept apart: the check before a training. test_report.py has the one after it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from local.real_sounds import soundbank

ROOT = Path(__file__).resolve().parents[3]


def status(monkeypatch: pytest.MonkeyPatch, sources: Path, results: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["soundbank", str(sources), str(results)])
    with pytest.raises(SystemExit) as stop:
        soundbank.main()
    return int(str(stop.value.code or 0))


def test_the_repositorys_results_are_refused_for_other_sounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources, results = tmp_path / "sources.json", ROOT / "egs" / "real_sounds" / "results"
    sources.write_text(json.dumps({"train": {"Dog": [5, 20]}}))
    assert status(monkeypatch, sources, results) == 2
    assert "holds results on another soundbank" in capsys.readouterr().err
    assert status(monkeypatch, sources, tmp_path / "none") == 0
    sources.write_text(json.dumps(json.loads((results / "corpus.json").read_text())["sources"]))
    assert status(monkeypatch, sources, results) == 0


@pytest.mark.parametrize("content", ["[]", '{"sources": 5}'])
def test_a_damaged_corpus_json_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "sources.json").write_text(json.dumps({"train": {"Dog": [5, 20]}}))
    (tmp_path / "runs.jsonl").touch()
    (tmp_path / "corpus.json").write_text(content)
    assert status(monkeypatch, tmp_path / "sources.json", tmp_path) == 2
    assert "corpus.json: not the numbers of a corpus" in capsys.readouterr().err
