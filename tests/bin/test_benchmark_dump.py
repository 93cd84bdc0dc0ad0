"""sed.bin.benchmark_dump."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sed.bin import benchmark_dump


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sed.bin.benchmark_dump", *arguments, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.thorough
def test_clips_longer_than_the_front_ends_default_are_dumped_whole_as_the_bare_loop_reads_them(tmp_path: Path) -> None:
    options = ["--clips", "100", "--files", "1", "--seconds", "10.5", "--rate", "16000", "--nj", "1"]
    done = run(*options, folder=tmp_path / "scratch")
    assert done.returncode == 0 and "were cut" not in done.stdout + done.stderr


def test_more_jobs_than_clips_are_refused(tmp_path: Path) -> None:
    done = run("--clips", "100", "--nj", "101", folder=tmp_path / "scratch")
    assert done.returncode == 2 and "--nj 101: more jobs than --clips 100" in done.stderr


@pytest.mark.thorough
def test_a_job_that_ends_early_has_used_memory() -> None:
    """The memory of a zombie process would read as 0."""
    for early, late in benchmark_dump._memory([["sleep", "1.6"], ["sleep", "0.3"]]):
        assert early > 0 and late > 0


def test_memory_is_counted_in_the_systems_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 4 KiB were assumed; many ARM machines have pages of 16 or 64 KiB."""
    monkeypatch.setattr(resource, "getpagesize", lambda: 10**9)
    [(_, late)] = benchmark_dump._memory([["sleep", "0.3"]])
    assert late >= 1000  # MB: a page at least
