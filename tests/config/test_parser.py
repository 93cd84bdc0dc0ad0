"""--help: without torch, each option once, and what the letters of its defaults mean."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sed.config import PROVENANCE, Parser, default_options

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(path.stem for path in (ROOT / "sed" / "bin").glob("[a-z]*.py"))
TRAINING = ("sed.features.logmel", "sed.models.detector", "sed.training.build")


def test_both_spellings_are_accepted_and_one_is_shown() -> None:
    parser = Parser("test")
    parser.option("mel_bins", 128, "mel filters (P)")
    parser.option("only-scored", True, "only these")
    assert parser.parse_args(["--mel_bins", "64"]).mel_bins == parser.parse_args(["--mel-bins", "64"]).mel_bins == 64
    assert not parser.parse_args(["--no-only_scored"]).only_scored
    text = parser.format_help()
    assert "mel_bins" not in text and "only_scored" not in text
    assert text.count("--mel-bins") == 2 and text.count("--only-scored") == 2  # the usage, and its own line
    assert " ".join(PROVENANCE.split()) in " ".join(text.split())


def test_letters_are_explained_only_where_they_are_used() -> None:
    parser = Parser("test")
    parser.option("rate", 16000, "Hz")
    assert "FDY-SED" not in parser.format_help()


@pytest.mark.parametrize("entry", ENTRIES)
def test_help_needs_no_torch_and_shows_an_option_once(entry: str) -> None:
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try:\n    runpy.run_module('sed.bin.' + sys.argv[0], run_name='__main__')\n"
        "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, entry], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert done.stderr.splitlines()[-1] == "False", f"sed.bin.{entry} imports torch before it parses"
    lines = re.findall(r"^  (?:-\w, )?(--.*)", done.stdout, re.MULTILINE)
    shown = [flag for line in lines for flag in re.findall(r"(?:^|, )(--[\w-]+)", line)]
    assert len(shown) == len({flag.replace("_", "-") for flag in shown})


def test_every_option_of_a_config_is_in_help_with_its_default() -> None:
    parser = Parser("test")
    for module in TRAINING:
        parser.options_of(module)
    text = " ".join(parser.format_help().split())
    for name, default in default_options(*TRAINING).items():
        flag = f"--{name.replace('_', '-')}"
        assert re.search(rf"{flag}\b.*?\(default: {re.escape(str(default))}\)", text), flag


def test_types_by_name() -> None:
    parser = Parser("test")
    parser.option("sets", ["a"], "sets", type="words")
    parser.option("sizes", [1], "sizes", type="numbers")
    found = parser.parse_args(["--sets", "b,c", "--sizes", "2,3"])
    assert found == argparse.Namespace(sets=["b", "c"], sizes=[2, 3])
