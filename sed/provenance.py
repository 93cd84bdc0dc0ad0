"""What a result came from: the commit, the command and the versions of the packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from sed.cli import script_name

ROOT = Path(__file__).resolve().parent.parent


def git_hash() -> str:
    """The checkout's commit, `-dirty` appended when tracked files differ; `unknown` outside a checkout."""
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
    """The command that the user typed: the recipe's own (run.sh exports SED_COMMAND), else this program's."""
    return os.environ.get("SED_COMMAND") or shlex.join(["python3", "-m", f"sed.bin.{script_name()}", *sys.argv[1:]])


def environment() -> dict[str, str]:
    """Versions that a result depends on, for result.json and RESULTS.md; imports none of the packages."""
    versions = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in ("ast-sed", "torch", "torchaudio", "numpy", "scipy", "psds_eval", "sed_eval", "sed_scores_eval"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
