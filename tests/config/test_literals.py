"""Options read from a module's source are equal to those of the imported module."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from sed.config import Parser, default_options, literals, option_modules
from sed.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DECLARING = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "sed").rglob("*.py")
    if re.search(r"^OPTIONS = ", path.read_text(encoding="utf-8"), re.MULTILINE)
)
TRAINING = ("sed.features.logmel", "sed.models.detector", "sed.training.build")


def test_modules_that_declare_options_are_found() -> None:
    assert {"sed.features.logmel", "sed.models.ast", "sed.training.augment"} <= set(DECLARING)


@pytest.mark.parametrize("module", DECLARING)
def test_options_read_from_the_source_are_those_of_the_module(module: str) -> None:
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in ("mlflow", "wandb"):  # extras
            raise
        pytest.skip(f"{error.name} is not installed")
    for name in ("OPTIONS", "OPTIONS_FROM", "SECTION"):
        assert literals(module).get(name) == getattr(imported, name, None)


def test_literals_may_name_literals_above_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "declares_options.py").write_text(
        "import missing_package\nKINDS = {'a': 'x', 'b': 'y'}\nRATE = missing_package.rate()\n"
        "OPTIONS = {'kind': {'default': 'a', 'help': 'which', 'choices': KINDS}}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kinds = {"a": "x", "b": "y"}
    assert literals("declares_options") == {
        "KINDS": kinds,
        "OPTIONS": {"kind": {"default": "a", "help": "which", "choices": kinds}},
    }
    parser = Parser("test")
    parser.options_of("declares_options")
    assert parser.parse_args(["--kind", "b"]).kind == "b"
    with pytest.raises(UserError, match=r"invalid choice: 'x' \(choose from '?a'?, '?b'?\)"):
        parser.parse_args(["--kind", "x"])


def test_a_name_that_is_bound_again_to_an_expression_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "binds_again.py").write_text("A = 1\nA = len('xx')\nB = A\nC = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert literals("binds_again") == {"C": 3}


@pytest.mark.parametrize("module", ["sed.models.nothing", "nothing.of_it", "sed.errors.nothing"])
def test_a_missing_module_is_named(module: str) -> None:
    with pytest.raises(ValueError, match=f"no module '{re.escape(module)}'"):
        option_modules(module)


def test_no_two_modules_register_an_option_of_one_name() -> None:
    modules = [inner for module in TRAINING for inner in option_modules(module)]
    names = [name for module in modules for name in literals(module).get("OPTIONS", {})]
    assert len(names) == len(set(names)) and set(names) == set(default_options(*TRAINING))


def test_a_list_of_returned_defaults_may_be_changed_without_changing_the_default() -> None:
    default_options(*TRAINING)["batch_sizes"].append(7)
    assert default_options(*TRAINING)["batch_sizes"] == [2, 2, 4, 4]
