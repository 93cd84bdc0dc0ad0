"""Workers and child processes end with the process that they work for, and keep no lock."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from kills import begin, ended, forked
from tiny_model import call

from sed import lifetime
from sed.bin import synthesize
from sed.files import lock
from sed.parallel import run_tasks


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(processes: list[int], seconds: float = 5.0) -> bool:
    """Return whether all of them end within this many seconds."""
    until = time.monotonic() + seconds
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.01)
    return not any(map(alive, processes))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_of_a_killed_process_end_with_it_and_keep_no_lock(tmp_path: Path, number: int) -> None:
    ready, done = os.pipe()

    def task() -> None:
        os.write(done, b"%9d" % os.getpid())
        time.sleep(60)

    def work() -> int:
        with lock(tmp_path):
            run_tasks({"a": task, "b": task}, jobs=2)
        return 0

    child = begin(work)
    workers = [int(os.read(ready, 9)) for _ in range(2)]
    os.kill(child, number)
    assert ended(child) == -number
    with lock(tmp_path):  # at once
        pass
    assert gone(workers)


PR_GET_PDEATHSIG = 2  # from Linux's <sys/prctl.h>


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's prctl")
def test_the_kernel_kills_a_worker_at_its_parent_s_end() -> None:
    def work() -> int:
        lifetime.end_with_parent()
        number = ctypes.c_int()
        ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
        return number.value

    assert forked(work) == signal.SIGKILL


def test_a_worker_whose_parent_has_just_ended_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([os.getpid(), 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 1))

    def work() -> int:
        lifetime.end_with_parent()
        return 7

    assert forked(work) == 1


def test_a_worker_whose_parent_ended_before_it_asked_ends_too() -> None:
    """The process that started it is no longer its parent: such as 1, which never ends."""

    def work() -> int:
        lifetime.end_with_parent(os.getpid())
        return 7

    assert forked(work) == 1


def wait_for(name: str) -> None:
    """Wait until the threads of this name have ended."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(30)


@pytest.mark.parametrize("library", [None, SimpleNamespace(prctl=lambda *_: -1)], ids=["none", "refused"])
def test_without_prctl_a_worker_looks_once_per_second_whether_its_parent_is_there(
    monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    parents, waits, codes = iter([5, 5, 5, 1]), list[float](), list[int]()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(lifetime.time, "sleep", waits.append)
    monkeypatch.setattr(os, "_exit", codes.append)
    lifetime.end_with_parent()
    wait_for("parent")
    assert (waits, codes) == ([1, 1], [1])


@pytest.mark.parametrize("last", [ProcessLookupError, None])
def test_without_pidfd_a_command_looks_once_per_second_whether_its_owner_is_there(
    monkeypatch: pytest.MonkeyPatch, last: type[OSError] | None
) -> None:
    """A process of another user is there, too, though it may not be signalled."""
    answers, waits, sent = iter([PermissionError, None, last, ProcessLookupError]), list[float](), list[int]()

    def kill(process: int, number: int) -> None:
        if process == os.getpid():
            sent.append(number)
        elif (answer := next(answers)) is not None:
            raise answer

    def open_none(_process: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", open_none, raising=False)
    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(lifetime.time, "sleep", waits.append)
    monkeypatch.setenv("RUN_OWNER", "4711")
    lifetime.end_with_owner()
    wait_for("owner")
    assert (len(waits), sent) == (3 if last is None else 2, [signal.SIGTERM])


@pytest.mark.thorough
def test_a_killed_synthesis_goes_on_at_once(tmp_path: Path) -> None:
    """Workers once kept the lock for up to a second after the kill, in which the next run was refused."""

    def work(place: Path) -> int:
        os.dup2(os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        sets = [part for name in synthesize.SIZES for part in (f"--{name.replace('_', '-')}", 0)]
        return call(synthesize, *sets, "--validation", 120, "--clip-seconds", 1, "--nj", 2, place)

    assert ended(begin(lambda: work(tmp_path / "whole"))) == 0
    for kills in range(3):  # each run is killed as soon as it has made a block
        child = begin(lambda: work(tmp_path / "killed"))
        while len(list((tmp_path / "killed" / ".blocks").glob("*.json"))) <= kills and alive(child):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert ended(begin(lambda: work(tmp_path / "killed"))) == 0, (tmp_path / "said").read_text()
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("whole", "killed")
    ]
    assert files[0] == files[1]


COMMAND = """
import sys, time
from sed.cli import entry
@entry
def main():
    print("up", flush=True)
    time.sleep(60)
main()
"""


def command(owner: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "RUN_OWNER": str(owner)}
    return subprocess.Popen([sys.executable, "-c", COMMAND], env=environment, stdout=subprocess.PIPE, text=True)


def test_a_command_gets_sigterm_when_its_owner_is_gone_even_before_it_began() -> None:
    owner = subprocess.Popen(["sleep", "60"])
    running = command(owner.pid)
    assert running.stdout is not None and running.stdout.readline() == "up\n"
    owner.kill()
    assert running.wait(10) == -signal.SIGTERM
    owner.wait()
    assert command(owner.pid).wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("owner", ["", "nobody", "²", "-1"])
def test_without_an_owner_a_command_is_left_alone(owner: str) -> None:
    running = command(owner)
    try:
        assert running.stdout is not None and running.stdout.readline() == "up\n"
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.2)
    finally:
        running.kill()
        running.wait()
