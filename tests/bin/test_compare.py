"""sed.bin.compare: options that are refused before anything is read."""

import sys

import pytest

from sed.bin import compare


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
