"""Entry points: exit codes, one line per error, and logging."""

from __future__ import annotations

import errno
import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from sed.errors import RunError, UserError

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
