"""SIGKILL at the n-th file-system call, in a forked process, so that nothing is imported again."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

# audit events of the calls (sys.addaudithook); ctypes.dlsym is that of renameat2, which sed.files calls by ctypes
CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
CALLS |= {"os.listdir", "os.scandir", "shutil.rmtree", "shutil.copymode", "fcntl.flock", "ctypes.dlsym"}


def forked(work: Callable[[], int], *, kill_at: int = 0, under: Path | None = None) -> int:
    """Run `work` in a forked process and return its exit code, or minus the signal that ended it.

    Args:
        work: returns the exit code.
        kill_at: the process is killed before its n-th file-system call; 0: never.
        under: only calls on paths below this folder count, and those that name no path.
    """

    def armed() -> int:
        if kill_at:
            _arm(kill_at, under)
        return work()

    return ended(begin(armed))


def at_once(works: Sequence[Callable[[], int]]) -> list[int]:
    """Run several in forked processes that start together; return their exit codes."""
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
    """Run `work` in a forked process without waiting for it; return its id."""
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
    """Wait for a forked process; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(kill_at: int, under: Path | None) -> list[str]:
    """Kill this process before its n-th call (0: never); return a list that gets the name of each call."""
    names: list[str] = []
    armed = os.getpid()

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in CALLS or (event == "ctypes.dlsym" and os.getpid() != armed):  # forked readers only read
            return
        # the arguments of open, os.* and shutil.* are paths
        named = [os.fsdecode(arg) for arg in args if isinstance(arg, (str, bytes, os.PathLike)) and event[0] in "os"]
        if under and named and not any(name.startswith(str(under)) for name in named):
            return
        names.append(event)
        if len(names) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return names


def kill_at_every_call(
    work: Callable[[], int],
    prepare: Callable[[], None],
    check: Callable[[int], None],
    under: Path,
    *,
    most: int | None = None,
) -> int:
    """Kill `work` at its n-th call, run it again and check the result, for every n; return the number of kills.

    Args:
        work: returns the exit code.
        prepare: restores the state before a run.
        check: gets n, and checks what the second run made.
        under: as in `forked`.
        most: how many values of n are tried at most: the last call of each kind, others evenly spread; None: all.
    """
    chosen: Iterable[int] = itertools.count(1)
    if most is not None:
        prepare()
        chosen = _sample(_calls(work, under), most)
    kills = 0
    for n in chosen:
        prepare()
        code = forked(work, kill_at=n, under=under)
        if code == 0:  # the run has fewer than n calls
            break
        assert code in (-signal.SIGKILL, 1), f"call {n}: exit {code}"  # 1: it was a worker that was killed
        assert forked(work) == 0, f"killed at call {n}, the same command fails"
        check(n)
        kills += 1
    return kills


def _calls(work: Callable[[], int], under: Path) -> list[str]:
    """Return the names of a run's calls, in order."""
    receive, send = os.pipe()

    def noted() -> int:
        os.close(receive)
        names = _arm(0, under)
        code = work()
        with os.fdopen(send, "w") as pipe:
            pipe.write("\n".join(names))
        return code

    child = begin(noted)
    os.close(send)
    with os.fdopen(receive) as pipe:
        names = pipe.read().split("\n")
    assert ended(child) == 0
    return names


def _sample(calls: Sequence[str], most: int) -> list[int]:
    """Return at most `most` numbers of calls, from 1: the last of each kind, and others evenly spread.

    If there are more kinds than `most`, these are the latest of the last ones.
    """
    last = sorted({name: number for number, name in enumerate(calls, 1)}.values())[-most:]
    others = [number for number in range(1, len(calls) + 1) if number not in last]
    count = min(most - len(last), len(others))
    return sorted([*last, *(others[k * len(others) // count] for k in range(count))])
