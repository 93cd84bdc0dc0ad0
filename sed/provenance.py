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
    """Return the commit of the git checkout whose root is ROOT, with `-dirty` if tracked files differ from it.

    It is `unknown` outside a checkout, and for a package that is installed within another project's.
    """
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT.resolve():
            return "unknown"
        return _git("rev-parse", "--short=12", "HEAD") + "-dirty" * bool(_git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    """Return what git prints about the checkout around ROOT."""
    printed = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout
    return os.fsdecode(printed).strip()  # paths may be invalid UTF-8


def command_line() -> str:
    """Return the command that the user typed: the recipe's (run.sh exports SED_COMMAND), else this program's."""
    return os.environ.get("SED_COMMAND") or shlex.join(["python3", "-m", f"sed.bin.{script_name()}", *sys.argv[1:]])


def environment() -> dict[str, str]:
    """Return {name: version} of Python, the platform and the packages that compute models and metrics.

    Packages are not imported; those that are not installed are left out.
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
    """Return a JSON value in which paths that begin with `/`, `~` or `..` are reduced to their last component.

    For published files: paths would reveal user names and machines.
    """
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    return _in_text(value) if isinstance(value, str) else value


def _in_text(text: str) -> str:
    """Reduce the paths in a text or a command to their last component."""
    if "/" not in text:
        return text
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    # Several words are taken for a command, in which a path with blanks is quoted; but a text that begins with a path
    # is that path, which may have blanks.
    if len(words) > 1 and not _ELSEWHERE.match(text):
        # a word of several options, as of --train-args, is a command itself
        reduced = [_in_text(word) if word.startswith("--") and " --" in word else _in_word(word) for word in words]
        return shlex.join(reduced) if reduced != words else text
    return _in_word(text)


def _in_word(word: str) -> str:
    """Reduce the paths in a word of a command, or in a text that is no command, to their last component.

    The word may be an option with its value (`--config=/home/me/x.yaml`), a path, or have paths inside it.
    """
    name, equals, path = word.partition("=")
    if equals and _ELSEWHERE.match(path):
        return f"{name}={_last(path)}"
    return _last(word) if _ELSEWHERE.match(word) else _PATH_INSIDE.sub(lambda found: _last(found[0]), word)


def _last(path: str) -> str:
    """Return the last component of a path, or of each in a comma-separated list, such as a model per seed."""
    return ",".join(PurePosixPath(part).name or part for part in path.split(","))
