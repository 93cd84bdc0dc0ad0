"""Memory limits while reading untrusted files, and the memory that is free."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")
_SYSTEM = Path("/proc/meminfo")
_GROUPS, _MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


class _Limit:
    """Limit on the process's memory, for the blocks of `limited` that its threads are in.

    Attributes:
        soft: limit outside of blocks.
        base: bytes in use outside of blocks. Each block's start gives an estimate: what is in use then, less all that
            other blocks may take, as it is unknown how much of that they have taken. The highest one counts, until no
            block is left.
        more: {thread: bytes that its block may take}. The limit is `base` and all of these.
    """

    def __init__(self) -> None:
        self.soft, self.base, self.more = resource.RLIM_INFINITY, 0, dict[int, int]()
        self.lock = threading.Lock()

    def change(self, more: int | None, used: int | None = None) -> int | None:
        """Set what the calling thread's block may take, None: it has none; return what it was before.

        used: bytes in use, at a block's start; None: at a block's end. A block within another of its thread may take
        no more than what the outer one has left.
        """
        me = threading.get_ident()
        with self.lock:
            soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
            if not self.more:
                self.soft, self.base = soft, 0
            before = self.more.pop(me, None)
            others = sum(self.more.values())
            if used is not None:
                self.base = max(self.base, used - others - (before or 0))
            # the outer block has taken a part of `before`
            if more is not None and used is not None and before is not None:
                more = min(before, more + max(0, used - self.base - others))
            if more is not None:
                self.more[me] = more
            bounds = [self.base + sum(self.more.values())] if self.more else []
            bounds += [bound for bound in (self.soft, hard) if bound != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_DATA, (min(bounds, default=self.soft), hard))
        return before


_limit = _Limit()


@contextmanager
def limited(more: int) -> Iterator[None]:
    """Limit this process to the given bytes of additional memory; beyond it allocations fail as if memory ran out.

    The limit is on writable memory (RLIMIT_DATA) instead of address space, as threads reserve much more address space
    than they use. A lower limit that is set already stays; blocks of several threads may take their bytes together. On
    systems other than Linux nothing is limited.
    """
    try:
        used = int(_STATM.read_text().split()[5]) * resource.getpagesize()  # field 6 of statm: data and stack, in pages
    except (OSError, IndexError, ValueError):
        yield
        return
    outer = _limit.change(more, used)
    try:
        yield
    finally:
        _limit.change(outer)


def available() -> int:
    """Return the free RAM in bytes, at most what a Slurm job or a container leaves; 8 GiB are assumed without /proc."""
    free = [*_left_by_groups()]
    for line in _SYSTEM.read_text().splitlines() if _SYSTEM.exists() else []:
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    return min(free, default=8 << 30)


def control_groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folders of this process's control groups for a controller such as `memory`, the innermost one first.

    With each, yield whether it is of version 2 of cgroups instead of 1.
    """
    for line in _GROUPS.read_text().splitlines() if _GROUPS.exists() else []:
        _, controllers, path = line.split(":", 2)  # version 1: `2:memory:/job/step`; 2, for all controllers: `0::/job`
        if controllers and controller not in controllers.split(","):
            continue
        top = _MOUNTED / controller if controllers else _MOUNTED
        group = top / path.lstrip("/")
        yield from ((folder, not controllers) for folder in (group, *group.parents) if folder.is_relative_to(top))


def _left_by_groups() -> Iterator[int]:
    """Yield the bytes that each control group of this process with a limit leaves.

    The file cache counts as left, since the kernel frees it on demand.
    """
    for folder, of_version_2 in control_groups("memory"):
        limit, usage = ("max", "current") if of_version_2 else ("limit_in_bytes", "usage_in_bytes")
        try:  # a group without a limit has no such file, or "max" in it
            stated, used = (int((folder / f"memory.{name}").read_text()) for name in (limit, usage))
            cached = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        yield max(0, stated - used + sum(int(cached.get(f"{kind}_file", 0)) for kind in ("active", "inactive")))
