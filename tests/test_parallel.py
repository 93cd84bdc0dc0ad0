"""Counts of all and of idle processors, tasks in worker processes, and numbers that a launcher sets."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from sed import memory, parallel
from sed.errors import RunError, UserError
from sed.parallel import default_jobs, free_processors, launched, run_tasks


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Simulate a machine: its processors, those of this process, its load and its running tasks."""

    def make(processors: int, mine: int, load: float | None, running: int | None) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: processors)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(mine)), raising=False)
        if load is None:
            monkeypatch.delattr(os, "getloadavg")
        else:
            monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
        monkeypatch.setattr(memory, "_GROUPS", tmp_path / "none")
        monkeypatch.setattr(parallel, "_LOAD", tmp_path / "loadavg")
        if running is not None:
            (tmp_path / "loadavg").write_text(f"{load} 9.00 9.00 {running}/812 4711\n")

    return make


@pytest.mark.parametrize(
    ("processors", "mine", "load", "running", "free"),
    [
        (8, 8, 0.1, 1, 8),
        (8, 8, 3.4, 6, 5),
        (8, 8, 8.0, 1, 8),  # the tasks of the last minute have ended
        (8, 8, 0.2, 9, 8),  # the tasks running now have only begun
        (2, 2, 16.0, 17, 1),
        (64, 4, 40.0, 41, 4),
        (64, 4, 62.0, 70, 2),
        (8, 8, 5.0, None, 3),  # not Linux
        (8, 8, None, None, 8),
    ],
)
def test_free_processors_are_idle_and_allowed_ones(machine, processors, mine, load, running, free) -> None:
    machine(processors, mine, load, running)
    assert free_processors() == free and default_jobs() == mine


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"job/cpu.max": "200000 100000"}, 2),
        ({"job/cpu.max": "max 100000", "cpu.max": "150000 100000"}, 2),
        ({"job/cpu.max": "10000 100000"}, 1),
        ({"job/cpu.max": "max 100000"}, 8),
        ({"cpu/job/cpu.cfs_quota_us": "300000", "cpu/job/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_a_container_s_limit_on_time_counts_as_processors(
    machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    machine(8, 8, 0.0, 1)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "groups").write_text("3:cpu,cpuacct:/job\n2:memory:/other\n0::/job\n")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_MOUNTED", tmp_path)
    assert default_jobs() == free_processors() == expected


def test_a_system_without_affinity_counts_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_GROUPS", Path("none"))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert default_jobs() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_jobs() == 1


def test_tasks_have_their_results_by_name() -> None:
    tasks = {str(k): (lambda k=k: k * k) for k in range(5)}
    assert run_tasks(tasks, 1) == run_tasks(tasks, 3) == {str(k): k * k for k in range(5)}


def test_a_killed_worker_ends_the_run_with_an_error() -> None:
    tasks = {"a": lambda: 1, "b": lambda: os.kill(os.getpid(), signal.SIGKILL), "c": lambda: 3}
    with pytest.raises(RunError, match=r"^a worker process was killed \(.+\)$"):
        run_tasks(tasks, 2)


def test_an_error_in_a_task_does_not_wait_for_the_other_tasks() -> None:
    started = time.monotonic()
    with pytest.raises(KeyError):
        run_tasks({"long": lambda: time.sleep(60), "wrong": lambda: {}["x"], "next": lambda: time.sleep(60)}, 2)
    assert time.monotonic() - started < 30


def test_a_rank_that_is_no_number_is_named(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert launched("RANK", 0) == 0
    monkeypatch.setenv("RANK", "3")
    assert launched("RANK", 0) == 3
    for text in ("x", "²", "-1", "1.0"):
        monkeypatch.setenv("RANK", text)
        with pytest.raises(UserError, match=rf"^RANK={text} in the environment: a whole number is expected \(.+\)$"):
            launched("RANK", 0)
