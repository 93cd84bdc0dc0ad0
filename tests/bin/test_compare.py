"""sed.bin.compare: options that are refused before anything is read; the order of its outputs."""

import sys
from types import SimpleNamespace

import pytest

from sed.bin import compare
from sed.evaluation.confidence import paired


def test_one_file_for_both_outputs_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "exp/a", "exp/b", "--out", "x", "--html", "./x"])
    with pytest.raises(SystemExit) as stop:
        compare.main()
    assert stop.value.code == 2 and ": x: two outputs would be written to this" in capsys.readouterr().err


def test_a_result_that_is_compared_is_not_overwritten(tmp_path, monkeypatch, capsys):
    result = tmp_path / "result.json"
    result.write_text("{}")
    monkeypatch.setattr(sys, "argv", ["compare", "exp/a", f"exp/b,{result}", "--out", str(result)])
    with pytest.raises(SystemExit) as stop:
        compare.main()
    assert stop.value.code == 2 and f"{result}: an input, which would be overwritten" in capsys.readouterr().err


def test_files_are_written_before_the_table_is_printed_so_that_head_cannot_prevent_them(monkeypatch, tmp_path):
    system, out, printed = SimpleNamespace(name="a"), tmp_path / "x.json", []
    monkeypatch.setattr(paired, "load_systems", lambda *_, **__: [system, SimpleNamespace(name="b")])
    monkeypatch.setattr(paired, "check_comparable", lambda _: None)
    monkeypatch.setattr(paired, "differences", lambda *_: [])
    monkeypatch.setattr(paired, "terminal", lambda *_: printed.append(out.exists()) or "")
    monkeypatch.setattr(sys, "argv", ["compare", "exp/a", "exp/b", "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        compare.main()
    assert stop.value.code == 0 and printed == [True]
