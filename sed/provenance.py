"""Provenance of a result: commit, command and package versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from sed.cli import script_name

ROOT = Path(__file__).resolve().parent.parent
"""folder that has the package: the checkout, unless the package is installed elsewhere"""


def git_hash() -> str:
    """Return the checkout's commit, with `-dirty` if tracked files differ from it; `unknown` outside a checkout."""
    try:
        rev = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return rev + ("-dirty" if changed else "")


def command_line() -> str:
    """Return the command that the user typed: the recipe's (run.sh exports SED_COMMAND), else this program's."""
    return os.environ.get("SED_COMMAND") or shlex.join(["python3", "-m", f"sed.bin.{script_name()}", *sys.argv[1:]])


def environment() -> dict[str, str]:
    """Return {package: version} of all that a result depends on, for result.json and RESULTS.md.

    The packages are not imported.
    """
    versions = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in ("ast-sed", "torch", "torchaudio", "numpy", "scipy", "psds_eval", "sed_eval", "sed_scores_eval"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


_ELSEWHERE = re.compile(r"(?:/|~|\.\./)")  # the beginning of a path that leads out of the current folder
# Such a path within a text, of at least one folder or file; not a URL, nor the later folders of a relative path.
_PATH_INSIDE = re.compile(r"(?<![\w/:.~])(?:~[\w.-]*|\.\.)?(?:/[^/\s'\"`,;:)\]]+)+/?")


def without_folders(value: Any) -> Any:
    """Return a JSON value in which absolute paths and paths with `..` are reduced to their last component.

    For published files: paths would reveal user names and machines.
    """
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    return _named(value) if isinstance(value, str) else value


def _named(text: str) -> str:
    """Reduce the paths in a text or a command to their last component."""
    if "/" not in text:
        return text
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if len(words) > 1 and not _ELSEWHERE.match(text):  # a command: quotes keep names with blanks together
        named = [_option(word) for word in words]
        return shlex.join(named) if named != words else text
    return _option(text)


def _option(word: str) -> str:
    """Reduce the path in `--config=/home/me/x.yaml`, `/home/me/x.yaml` or a text to its last component."""
    name, equals, path = word.partition("=")
    if equals and _ELSEWHERE.match(path):
        return f"{name}={_last(path)}"
    return _last(word) if _ELSEWHERE.match(word) else _PATH_INSIDE.sub(lambda found: _last(found[0]), word)


def _last(path: str) -> str:
    """Return the last component of each of the paths, which commas separate."""
    return ",".join(PurePosixPath(part).name or part for part in path.split(","))
