"""Run independent tasks in forked processes, which share the parent's arrays instead of copying them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from typing import Any

_TASKS: Mapping[str, Callable[[], Any]] = {}


def default_jobs() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def run_tasks(tasks: Mapping[str, Callable[[], Any]], jobs: int) -> dict[str, Any]:
    """{name: its task's result}; the costliest first in `tasks` balances best. Not from within a task."""
    global _TASKS
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        return {name: task() for name, task in tasks.items()}
    _TASKS = tasks  # found by the forked workers, so that no task needs pickling
    try:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            return dict(pool.imap_unordered(_run, list(tasks), chunksize=1))
    finally:
        _TASKS = {}


def _run(name: str) -> tuple[str, Any]:
    return name, _TASKS[name]()
