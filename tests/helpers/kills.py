"""SIGKILL at the n-th file-system call, in a forked process, so that nothing is imported again."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
CALLS |= {"os.listdir", "os.scandir", "shutil.rmtree", "shutil.copymode", "fcntl.flock", "ctypes.dlsym"}


def forked(work: Callable[[], int], *, kill_at: int = 0, under: Path | None = None) -> int:
    """Run `work` in a forked process and return its exit code, or minus the signal that ended it.

    Args:
        work: returns the exit code.
        kill_at: the process is killed before its so many-th file-system call; 0: never.
        under: only calls on paths below this folder count, and those that name no path.
    """

    def armed() -> int:
        if kill_at:
            _arm(kill_at, under)
        return work()

    return ended(begin(armed))


def at_once(works: Sequence[Callable[[], int]]) -> list[int]:
    """Run several in forked processes that start together; their exit codes."""
    gate, opened = os.pipe()

    def wait(work: Callable[[], int]) -> int:
        os.close(opened)
        os.read(gate, 1)
        return work()

    children = [begin(lambda work=work: wait(work)) for work in works]
    os.close(opened)
    codes = [ended(child) for child in children]
    os.close(gate)
    return codes


def begin(work: Callable[[], int]) -> int:
    """Run `work` in a forked process, which this does not wait for; its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a forked process; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(kill_at: int, under: Path | None) -> None:
    count = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in CALLS:
            return
        named = [os.fsdecode(arg) for arg in args if isinstance(arg, (str, bytes, os.PathLike)) and event[0] in "os"]
        if under and named and not any(name.startswith(str(under)) for name in named):
            return
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def kill_at_every_call(work: Callable[[], int], prepare: Callable[[], None], check: Callable[[int], None], under: Path):
    """Prepare, kill `work` at its n-th call, run it again, check; for every n. Return how many calls there are."""
    n = 0
    while True:
        n += 1
        prepare()
        code = forked(work, kill_at=n, under=under)
        if code == 0:
            return n - 1
        assert code == -signal.SIGKILL, f"call {n}: exit {code}"
        assert forked(work) == 0, f"killed at call {n}, the same command fails"
        check(n)
