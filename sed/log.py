"""Errors for users, logging, and the facts of a run that results carry."""

from __future__ import annotations

import errno
import functools
import importlib.metadata
import logging
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Failures of the machine that the user cures; anything else of OSError is a defect and keeps its traceback.
_USER_ERRNOS = {
    errno.ENOSPC: "no space left (free some, or choose another folder)",
    errno.EDQUOT: "disk quota exceeded (free some, or choose another folder)",
    errno.EACCES: "permission denied (check its owner and mode)",
    errno.EPERM: "operation not permitted (check its owner and mode)",
    errno.EROFS: "read-only file system (choose another folder)",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "not a directory",
    errno.EISDIR: "is a directory",
}


class UserError(Exception):
    """Bad usage or input: the message says what is wrong, which file and line, and what to do. Exit 2."""


class RunError(Exception):
    """A run that failed through no fault of its input (network, memory, a killed worker). Exit 1."""


def script_name() -> str:
    """The name that error lines start with: the module's, without its suffix."""
    return Path(sys.argv[0]).stem


def entry(main: Callable[[], int | None]) -> Callable[[], None]:
    """Turn `main` into an entry point: exit 0 done, 2 bad usage or input, 1 failed; one line an error."""

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            code = main() or 0
            sys.stdout.flush()
        except UserError as error:
            code = _fail(2, str(error))
        except RunError as error:
            code = _fail(1, str(error))
        except KeyboardInterrupt:
            code = _fail(130, "interrupted")
        except BrokenPipeError:  # `... | head` closed the pipe: not an error of ours
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except OSError as error:
            if error.errno not in _USER_ERRNOS:
                raise
            what = f"{error.filename}: " if error.filename else ""
            code = _fail(2, f"{what}{_USER_ERRNOS[error.errno]}")
        sys.exit(code)

    return wrapped


def _fail(code: int, message: str) -> int:
    print(f"{script_name()}: {' '.join(message.split())}", file=sys.stderr)
    return code


def setup_logging(file: str | Path | None = None) -> logging.Logger:
    """Log to standard error, and append to `file` too; returns the package's logger."""
    logger = logging.getLogger("sed")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    formatter = logging.Formatter("%(asctime)s %(message)s", "%FT%T")
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if file is not None:
        handlers.append(logging.FileHandler(file))
    for old in list(logger.handlers):
        logger.removeHandler(old)
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    return logger


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
