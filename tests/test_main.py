"""`ast-sed` and `python3 -m sed`: the modules of sed.bin as commands, their overview, and errors in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sed
from sed.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parent.parent


def ast_sed(*arguments: str, python: tuple[str, ...] = (sys.executable,)) -> subprocess.CompletedProcess[str]:
    command = [*python, "-m", "sed", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_every_module_of_bin_is_a_command_once() -> None:
    modules = {path.stem.replace("_", "-") for path in (ROOT / "sed" / "bin").glob("[a-z]*.py")}
    assert sorted(COMMANDS) == sorted(modules), "COMMANDS of sed/__main__.py and sed/bin/ differ"


def test_contributing_lists_every_command_and_campaign_once() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.split("## The commands", 1)[1].split("## ", 1)[0].split("| group | commands |", 1)[1]
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(name.replace("-", "_") for name in COMMANDS)
    campaigns = [path.stem.removeprefix("test_") for path in (ROOT / "tests/campaigns").glob("test_*.py")]
    assert sorted(re.findall(r"--campaign (\w+)", page)) == sorted(campaigns)


def test_help_names_every_command_once_with_what_it_does() -> None:
    done = ast_sed("--help")
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sorted(name for name, *_ in rows) == sorted([*COMMANDS, "--version"])
    assert all(len(row) > 1 for row in rows), "a command without a description"
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert ast_sed().returncode == 2


def test_the_version_is_that_of_the_package() -> None:
    assert ast_sed("--version").stdout == f"ast-sed {sed.__version__}\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_full_disk_is_one_line_and_a_closed_pipe_no_error(option: str) -> None:
    command = [sys.executable, "-m", "sed", option]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("ast-sed: no space left")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("typed", "meant"), [("predikt", "predict"), ("export-onx", "export-onnx")])
def test_a_misspelt_command_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    done = ast_sed(typed)
    assert done.returncode == 2
    assert done.stderr == f"ast-sed: no command '{typed}' (did you mean '{meant}'?)\n"


@pytest.mark.parametrize("spelling", ["show-config", "show_config"])
def test_a_command_runs_as_its_module_does(spelling: str) -> None:
    config = str(ROOT / "conf" / "logmel.yaml")
    module = subprocess.run(
        [sys.executable, "-m", "sed.bin.show_config", config], capture_output=True, text=True, cwd=ROOT
    )
    done = ast_sed(spelling, config)
    assert module.returncode == done.returncode == 0
    assert done.stdout == module.stdout


def test_errors_are_the_commands_own_line() -> None:
    done = ast_sed("show-config", "nowhere.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("show_config: nowhere.yaml")
    assert done.stderr.count("\n") == 1


def test_without_the_environment_one_line_names_bootstrap() -> None:
    done = ast_sed("show-config", "conf/logmel.yaml", python=(sys.executable, "-S"))  # no site-packages
    assert done.returncode == 2
    assert "utils/bootstrap.sh" in done.stderr
    assert done.stderr.count("\n") == 1
