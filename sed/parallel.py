"""Run tasks in forked processes, which share the parent's arrays; count processors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.lifetime import end_with_parent

_LOAD = Path("/proc/loadavg")
_TASKS: Mapping[str, Callable[[], Any]] = {}


def default_jobs() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def free_processors() -> int:
    """Return how many of the processors that this process may use are idle; at least 1.

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
    """Return RANK, LOCAL_RANK or WORLD_SIZE as set in the environment by a launcher such as torchrun, else `default`.

    Raises:
        UserError: the value is not a whole number.
    """
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal():
        raise UserError(f"{name}={text} in the environment: a whole number is expected (unset it)")
    return int(text)


def run_tasks(tasks: Mapping[str, Callable[[], Any]], jobs: int) -> dict[str, Any]:
    """Run tasks in up to `jobs` processes and return {name: result of the task}.

    Processes take the tasks in order: put the longest first, so that all finish at about the same time. A task must not
    call this function itself: workers of a pool may not start processes.
    """
    global _TASKS
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        return {name: task() for name, task in tasks.items()}
    _TASKS = tasks  # inherited by the forked workers, so that no task needs pickling
    try:
        with multiprocessing.get_context("fork").Pool(jobs, end_with_parent) as pool:
            return dict(pool.imap_unordered(_run, list(tasks), chunksize=1))
    finally:
        _TASKS = {}


def _run(name: str) -> tuple[str, Any]:
    return name, _TASKS[name]()
