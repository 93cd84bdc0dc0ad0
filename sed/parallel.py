"""Run tasks in forked processes, which share the parent's arrays; count processors."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from sed.errors import RunError, UserError
from sed.lifetime import end_with_parent
from sed.memory import control_groups

_LOAD = Path("/proc/loadavg")
MOST_THREADS = 1024  # per process: with far more, OpenMP ends it
_TASKS: Mapping[str, Callable[[], Any]] = {}


def default_jobs() -> int:
    """Return how many processors this process may use; a container's limit on processor time counts, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS
    return min([allowed, *_quotas()])


def _quotas() -> Iterator[int]:
    """Yield, for each control group of this process with a limit on processor time, how many processors that is."""
    for folder, is_version_2 in control_groups("cpu"):
        names = ["cpu.max"] if is_version_2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        try:  # time in each period; without a limit there is no such file, or "max" or -1 in it
            quota, period = (int(field) for name in names for field in (folder / name).read_text().split())
        except (OSError, ValueError):
            continue
        if quota > 0 and period > 0:
            yield math.ceil(quota / period)


def free_processors() -> int:
    """Return the number of idle processors of the machine, at most as many as this process may use; at least 1.

    With more threads than idle processors, threads wait for one another (measured on a busy machine: prediction at a
    tenth of the speed).
    """
    idle = (os.cpu_count() or 1) - round(_busy())
    return max(1, min(default_jobs(), idle))


def _busy() -> float:
    """Return the number of busy processors: the mean load of the last minute, at most the number of tasks running now.

    The mean still counts tasks that have ended, and the tasks running now may last only an instant, so take the lower.
    """
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0
    try:
        running = int(_LOAD.read_text().split()[3].split("/")[0]) - 1  # without this process
    except (OSError, ValueError, IndexError):  # not Linux
        return load
    return min(load, float(running))


def launched(name: str, default: int) -> int:
    """Return RANK, WORLD_SIZE or the like as set in the environment by a launcher such as torchrun, else `default`.

    Raises:
        UserError: the value is not a whole number.
    """
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal():
        raise UserError(f"{name}={text} in the environment: a whole number is expected (unset it)")
    return int(text)


def run_tasks(tasks: Mapping[str, Callable[[], Any]], jobs: int) -> dict[str, Any]:
    """Run tasks in up to `jobs` processes (1: in this one) and return {name: result of the task}, in any order.

    Processes take the tasks in order: put the longest first, so that all finish at about the same time. A task must not
    call this function itself, which would replace the tasks that its process inherited. If a task raises an exception,
    the other processes are killed and the exception is raised here.

    Raises:
        RunError: a process was killed.
    """
    global _TASKS
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        return {name: task() for name, task in tasks.items()}
    _TASKS = tasks  # inherited by the forked workers, so that no task needs pickling
    others = multiprocessing.active_children()
    try:
        # Not multiprocessing.Pool, which waits forever for the result of a worker that was killed.
        forked = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, forked, end_with_parent, (os.getpid(),)) as pool:
            try:
                return dict(done.result() for done in as_completed([pool.submit(_run, name) for name in tasks]))
            except BaseException:  # do not wait for the tasks that are running
                for worker in multiprocessing.active_children():
                    if worker not in others:
                        worker.kill()
                raise
    except BrokenProcessPool:
        raise RunError("a worker process was killed (if memory ran out: fewer jobs)") from None
    finally:
        _TASKS = {}


def _run(name: str) -> tuple[str, Any]:
    return name, _TASKS[name]()
