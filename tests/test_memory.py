"""A memory limit holds within its block, and only there; free memory is that of the process."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sed import memory
from sed.memory import limited


@pytest.mark.thorough
def test_what_goes_beyond_the_limit_fails_inside_and_only_there() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited(256 << 20):
        assert len(np.ones(64 << 20, np.uint8)) == 64 << 20
        with pytest.raises(MemoryError):
            np.ones(512 << 20, np.uint8)
        with limited(1 << 40), pytest.raises(MemoryError):  # a lower limit stays
            np.ones(512 << 20, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(np.ones(512 << 20, np.uint8)) == 512 << 20


@pytest.mark.thorough
def test_a_block_within_another_may_take_its_bytes_and_leaves_the_outer_limit_as_it_was() -> None:
    with limited(1024 << 20):
        kept = np.ones(512 << 20, np.uint8)
        with limited(256 << 20):
            assert len(np.ones(128 << 20, np.uint8)) == 128 << 20  # besides what is in use as it begins
            with pytest.raises(MemoryError):  # far above what other tests' threads and arrays may free meanwhile
                np.ones(500 << 20, np.uint8)
        assert len(np.ones(400 << 20, np.uint8)) + len(kept) == 912 << 20


def test_blocks_of_several_threads_leave_the_limit_as_it_was_and_do_not_share_their_bytes() -> None:
    """The first block ends within the second: its own limit must not come back at the end of the second."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    began, beside, ended = (threading.Event() for _ in range(3))

    def first() -> int:
        with limited(256 << 20):
            began.set()
            beside.wait(60)
            taken = len(np.ones(200 << 20, np.uint8))
        ended.set()
        return taken

    def second() -> int:
        began.wait(60)
        with limited(256 << 20):
            own = np.ones(200 << 20, np.uint8)
            beside.set()
            ended.wait(60)
            with pytest.raises(MemoryError):
                np.ones(512 << 20, np.uint8)
            return len(own)

    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(block) for block in (first, second)]
        assert [one.result() for one in taken] == [200 << 20] * 2
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_what_the_machine_and_every_control_group_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    top = tmp_path / "memory" if version == 1 else tmp_path
    limit, usage = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    )
    (top / "job" / "step").mkdir(parents=True)
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "groups").write_text("3:cpu,cpuacct:/x\n2:memory:/job/step\n" if version == 1 else "0::/job/step\n")
    for name, file in (("_SYSTEM", "meminfo"), ("_GROUPS", "groups"), ("_MOUNTED", ".")):
        monkeypatch.setattr(memory, name, tmp_path / file)
    assert memory.available() == 8_000_000 * 1024
    for folder, bound in ((top / "job" / "step", "max"), (top / "job", "5000")):
        (folder / limit).write_text(f"{bound}\n")
        (folder / usage).write_text("3000\n")
        (folder / "memory.stat").write_text("anon 1700\nactive_file 1000\ninactive_file 500\n")
    assert memory.available() == 5000 - 3000 + 1000 + 500  # cached file contents, active and inactive, can be dropped


def test_free_memory_of_this_machine_is_a_positive_number() -> None:
    assert memory.available() > 0
