"""Commands run on hostile input, each in a forked process with limits, and a check of how they end.

A forked process imports nothing again, so that thousands of inputs take minutes.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

SECONDS = 30
"""seconds of processor time that a command may take, so that a busy machine does not make it seem to hang"""
WAITING = 150
"""seconds by the clock after which a command counts as waiting for ever"""
MEMORY = 2 << 30
"""bytes that a command may hold"""
IMPORTED = {"sed", "numba", "pandas", "sklearn", "matplotlib", "torch", "soxr", "onnxruntime", "tensorboard", "scipy"}
"""packages that take long to import, so that the parent imports them for all later children"""
LISTS = {"predict", "choose", "check_dump"}
"""commands that may end with more than one line of their own, since they name each bad file in one"""
_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d ")


@dataclass(frozen=True)
class Ended:
    """The end of a command.

    Attributes:
        command: its name.
        code: exit code, or minus the signal that ended it.
        text: what it printed to standard error.
        seconds: how long it ran, by the clock.
        memory: its peak memory in bytes.
    """

    command: str
    code: int
    text: str
    seconds: float
    memory: int

    @property
    def line(self) -> str:
        """Last line of standard error, which states the error."""
        return (self.text.splitlines() or [""])[-1]

    def fault(self, *, named: str = "") -> str:
        """Return what is wrong with how it ended, '' for nothing.

        Allowed are success, and a refusal in one line (those of `LISTS`: one or more) with what to do in brackets; both
        beside lines of the log.

        Args:
            named: text that the last line of a refusal has to contain.
        """
        if self.code == -signal.SIGPROF:
            return f"hangs: not done within {SECONDS} s of processor time"
        if self.code == -signal.SIGALRM:
            return f"hangs: waits for {WAITING} s"
        if self.code not in (0, 1, 2):
            return f"exit {self.code}"
        if self.memory > MEMORY:
            return f"takes {self.memory >> 20} MB"
        if "Traceback" in self.text:
            return "traceback"
        others = [line for line in self.text.splitlines() if not _LOGGED.match(line)]
        if self.code == 0:
            return f"words of others: {others[0]}" if others else ""
        # with exit 1, these two end with a line per recording that they cannot read, which begins with its name
        own = self.line.startswith(f"{self.command}: ") or (self.code == 1 and self.command in ("predict", "choose"))
        if others[-1:] != [self.line] or not own:
            return "no line of its own at the end"
        if len(others) > 1 and self.command not in LISTS:
            return f"{len(others)} lines"
        if not re.search(r"\(.+\)", self.line):
            return "no cure"
        return "" if named in self.line else f"does not name {named!r}"


def attacked(command: str, arguments: Sequence[str], *, place: Path, scratch: Path) -> Ended:
    """Run `python3 -m sed.bin.<command>` in a forked process, kill what it has left running, and return how it ended.

    Args:
        command: the name of its module in sed.bin.
        arguments: its arguments.
        place: its working directory.
        scratch: folder for its standard output and standard error.
    """
    errors = scratch / "stderr"
    main = import_module(f"sed.bin.{command}").main
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    child = os.fork()
    if not child:
        code = 99
        try:
            _limited(scratch)
            os.chdir(place)
            sys.argv = [f"sed/bin/{command}.py", *arguments]
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            (scratch / "modules").write_text("\n".join(sys.modules))
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - started
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _import_too(scratch / "modules")
    text = errors.read_bytes().decode("utf-8", "backslashreplace")
    return Ended(command, os.waitstatus_to_exitcode(status), text, seconds, usage.ru_maxrss << 10)


def _import_too(file: Path) -> None:
    """Import the slow packages' modules that a child imported, so that the next child need not."""
    names = file.read_text().split("\n") if file.exists() else []
    for name in names:
        if name.split(".")[0] in IMPORTED and name not in sys.modules:
            try:
                import_module(name)
            except Exception:  # an entry of sys.modules that cannot be imported by its name: not tried again
                sys.modules.setdefault(name, sys.modules[__name__])


def _limited(scratch: Path) -> None:
    """Put this process into a group of its own, limit its time and memory, and write its output to files."""
    os.setsid()
    for late in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(late, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITING)
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # more than `fault` allows, so that taking too much is measured, but not so much that the machine runs out of memory
    resource.setrlimit(resource.RLIMIT_AS, (held + 2 * MEMORY, held + 2 * MEMORY))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    for handler in list(logging.getLogger().handlers):  # pytest's
        logging.getLogger().removeHandler(handler)


def emptied(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Empty a folder, or make it, and let `fill` write into it; return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fill(folder)
    return folder
