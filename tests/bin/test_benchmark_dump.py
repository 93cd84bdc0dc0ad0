"""sed.bin.benchmark_dump."""

from sed.bin import benchmark_dump


def test_a_job_that_ends_early_has_used_memory() -> None:
    """The memory of a zombie process would read as 0."""
    for early, late in benchmark_dump._memory([["sleep", "1.6"], ["sleep", "0.3"]]):
        assert early > 0 and late > 0
