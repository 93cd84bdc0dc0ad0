"""Types of options: accepted values, and messages for others."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sed.config import Parser, output_file
from sed.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_a_type_may_be_given_by_its_name() -> None:
    parser = Parser("test")
    parser.option("sets", ["a"], "sets", type="words")
    parser.option("sizes", [1], "sizes", type="numbers")
    found = parser.parse_args(["--sets", "b,c", "--sizes", "2,3"])
    assert found == argparse.Namespace(sets=["b", "c"], sizes=[2, 3])


def test_a_folder_is_refused_as_a_file_to_write(tmp_path):
    parser = Parser("test")
    parser.option("out", None, "a file", type=output_file)
    assert parser.parse_args([]).out is None
    assert parser.parse_args(["--out", str(tmp_path / "new" / "x.json")]).out == tmp_path / "new" / "x.json"
    with pytest.raises(UserError, match=r"argument --out: .*: a folder \(a file to write is expected\)"):
        parser.parse_args(["--out", str(tmp_path)])
    with pytest.raises(UserError, match="argument --out: '': a file"):
        parser.parse_args(["--out", ""])


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("rate", "1e9", r"1e9 is out of range \(at least 0 and at most 1\)"),
        ("rate", "nan", "nan is out of range"),
        ("level", "inf", r"inf is out of range \(a finite number\)"),
        ("level", "-1e999", r"-1e999 is out of range"),
        ("rate", "fast", "'fast' is not a number"),
        ("count", "1.5", "'1.5' is not a whole number"),
        ("count", "0", r"0 is out of range \(at least 1\)"),
        pytest.param("count", "1" * 400, r"1+ is out of range \(between -2\^63 and 2\^63\)", id="400 digits"),
        ("count", str(2**63), r"\d+ is out of range \(between"),
        ("size", str(-(2**63)), r"-\d+ is out of range \(between"),
        ("sizes", f"1,{2**63}", r"\d+ is out of range \(between"),
        ("sizes", "1,-2", "'1,-2' is not a comma-separated list of whole numbers"),
        ("sets", "a,,b", "'a,,b' is not a comma-separated list"),
    ],
)
def test_values_of_another_type_or_out_of_range_are_refused(option: str, text: str, message: str) -> None:
    parser = Parser("test")
    parser.option("rate", 0.5, "a share", least=0, most=1)
    parser.option("level", 0.0, "a number")
    parser.option("count", 3, "a number", least=1)
    parser.option("size", 3, "a number")
    parser.option("sizes", [1], "numbers", type="numbers")
    parser.option("sets", ["a"], "words", type="words")
    with pytest.raises(UserError, match=f"argument --{option}.*: {message}"):
        parser.parse_args([f"--{option}={text}"])


def test_a_config_file_is_looked_for_here_and_then_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = Parser("test")
    parser.option("features", "conf/logmel.yaml", "front end", type="config_file")
    monkeypatch.chdir(tmp_path)
    assert parser.parse_args([]).features == str(ROOT / "conf" / "logmel.yaml")
    Path("conf").mkdir()
    Path("conf/logmel.yaml").touch()
    assert parser.parse_args([]).features == str(tmp_path.resolve() / "conf" / "logmel.yaml")
