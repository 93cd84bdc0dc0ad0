"""sed.bin.compare: options that are refused before anything is read."""

import sys

import pytest

from sed.bin import compare


def test_one_file_for_both_outputs_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "exp/a", "exp/b", "--out", "x", "--html", "./x"])
    with pytest.raises(SystemExit) as stop:
        compare.main()
    assert stop.value.code == 2 and "x: both --out and --html" in capsys.readouterr().err
