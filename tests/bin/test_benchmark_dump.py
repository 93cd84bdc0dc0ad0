"""sed.bin.benchmark_dump."""

from sed.bin import benchmark_dump


def test_a_job_that_ends_early_has_used_memory() -> None:
    """It would have none as a zombie process."""
    for early, late in benchmark_dump._memory([["sleep", "1.6"], ["sleep", "0.3"]]):
        assert early > 0 and late > 0
