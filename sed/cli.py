"""Frame of all entry points: exit codes, one line per error, and logging."""

from __future__ import annotations

import codecs
import errno
import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from sed.errors import RunError, UserError
from sed.lifetime import end_with_owner

# Messages of the operating system's errors. The user can fix those in _CURES (exit 2); all others exit with 1.
_CURES = {
    errno.ENOSPC: "no space left (free some, or choose another folder)",
    errno.EDQUOT: "disk quota exceeded (free some, or choose another folder)",
    errno.EACCES: "permission denied (check its owner and mode)",
    errno.EPERM: "operation not permitted (check its owner and mode)",
    errno.EROFS: "read-only file system (choose another folder)",
    errno.ENOENT: "no such file or directory (check the path)",
    errno.ENOTDIR: "not a directory (a file is in its path)",
    errno.EISDIR: "is a directory (a file is expected)",
    errno.EEXIST: "exists already and is no folder (choose another name)",
    errno.ENAMETOOLONG: "name too long (choose a shorter one)",
    errno.ELOOP: "a link that leads to itself (remove it)",
    errno.EFBIG: "larger than this system lets a file be (ulimit -f)",
    errno.EMFILE: "too many open files (raise ulimit -n)",
    errno.ENFILE: "too many open files on this machine",
    errno.EINVAL: "not possible for this file or folder (check the path)",
    errno.EILSEQ: "a name that this file system cannot hold (rename it)",
}
_LINE_ENDS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_MACHINE = {errno.EIO: "input/output error (check the disk)", errno.ENOMEM: "out of memory"}
_OUT_OF_MEMORY = "out of memory (smaller batches or fewer jobs)"


def script_name() -> str:
    """Return the name that error lines start with: the command's module, also if `ast-sed` runs it."""
    name = Path(sys.argv[0]).stem
    return "ast-sed" if name == "__main__" else name


def entry(main: Callable[[], int | None]) -> Callable[[], None]:
    """Turn `main` into an entry point: exit 0 done, 1 failed, 2 bad input, 130 interrupted; one line per error."""

    @functools.wraps(main)
    def wrapped() -> None:
        end_with_owner()
        _open_closed_streams()
        _separate_stderr()
        # File names may hold bytes that are not valid UTF-8; scripts that read printed names need them as they are.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")
        try:
            code = main() or 0
            sys.stdout.flush()
        except UserError as error:
            code = _fail(2, str(error))
        except RunError as error:
            code = _fail(1, str(error))
        except KeyboardInterrupt:
            code = _fail(130, "interrupted")
        except BrokenPipeError:  # `... | head` closed the pipe: no error; nor may Python's flush at exit fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            if package in ("", "sed"):
                raise
            code = _fail(2, f"the package {package} is missing (pip install '.[recipe]', or run utils/bootstrap.sh)")
        except OSError as error:
            code = _fail(*_described(error))
        except UnicodeEncodeError as error:
            if codecs.lookup(sys.stdout.encoding).name == "utf-8":
                raise
            lacking = error.object[error.start : error.end]
            code = _fail(2, f"standard output, in {sys.stdout.encoding}, lacks {lacking} (set PYTHONIOENCODING=utf-8)")
        except RuntimeError as error:
            if _is_lack_of_memory(error):
                code = _fail(1, _OUT_OF_MEMORY)
            # before Python 3.13, pathlib raises it for circular links instead of an OSError
            elif str(error).startswith("Symlink loop from "):
                where = str(error).removeprefix("Symlink loop from ").strip("'")
                code = _fail(2, f"{where}: {_CURES[errno.ELOOP]}")
            else:
                raise
        except MemoryError:
            code = _fail(1, _OUT_OF_MEMORY)
        sys.exit(code)

    return wrapped


def _is_lack_of_memory(error: RuntimeError) -> bool:
    """Return whether torch raised an error because memory ran out: a GPU's, by its type, or RAM, by its text."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: " in str(error)


def _open_closed_streams() -> None:
    """Discard what is written to standard output or error that this process was started without, as daemons are."""
    closed = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]
    if not closed:
        return
    # Otherwise a file opened later could get descriptor 2, which `sed.data.containers.silence` redirects.
    while (extra := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(extra)
    for name in closed:
        setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115


def _separate_stderr() -> None:
    """Give Python's standard error a descriptor of its own: `sed.data.containers.silence` redirects the usual one.

    Otherwise lines of other threads would be lost while a thread decodes MP3.
    """
    usual = sys.__stderr__
    if usual is not None and sys.stderr is usual:  # not one that a test or a notebook has put there
        own = os.dup(usual.fileno())
        sys.stderr = os.fdopen(own, "w", buffering=1, encoding=usual.encoding, errors="backslashreplace")


def _described(error: OSError) -> tuple[int, str]:
    """Return the exit code and the line of a failure of the operating system."""
    where = ", ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if name)
    why = explained(error)
    return 2 if errno_of(error) in _CURES else 1, f"{where}: {why}" if where else why


def explained(error: OSError) -> str:
    """Return what is wrong and what to do about it, without the file's name."""
    found = errno_of(error)
    known = _CURES.get(found) or _MACHINE.get(found)
    return known or f"{error.strerror or error or type(error).__name__} (look at the file and its disk)"


def errno_of(error: OSError) -> int:
    """Return an OSError's errno, or 0 if there is none; HDF5's errors have it only in their text."""
    if error.errno:
        return error.errno
    stated = re.search(r"errno = (\d+)", str(error))
    return int(stated[1]) if stated else 0


def _fail(code: int, message: str) -> int:
    """Print an error line; return the exit code."""
    # Only line ends are replaced: file names may hold tabs, or several blanks in a row.
    line = f"{script_name()}: {_LINE_ENDS.sub(' ', message.strip())}"
    # File names may hold bytes that are not valid UTF-8, and the terminal may know only ASCII.
    encoding = sys.stderr.encoding or "ascii"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    return code


class _Lines(logging.Formatter):
    """Formatter that writes line feeds and carriage returns, which file names may hold, as `\\n` and `\\r`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")


def setup_logging(file: str | Path | None = None) -> logging.Logger:
    """Log to standard error, and to the end of `file` if given; return the package's logger."""
    logger = logging.getLogger("sed")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    formatter = _Lines("%(asctime)s %(message)s", "%FT%T")
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if hasattr(sys.stderr, "reconfigure"):  # a name that is not valid UTF-8 must not raise an error
        sys.stderr.reconfigure(errors="backslashreplace")
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8", errors="backslashreplace"))
    for old in list(logger.handlers):
        logger.removeHandler(old)
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    return logger
