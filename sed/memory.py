"""Memory limits while reading untrusted files, and the memory that is free."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")
_SYSTEM = Path("/proc/meminfo")
_GROUPS, _MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@contextmanager
def limited(more: int) -> Iterator[None]:
    """Limit this process to the given bytes of additional memory; beyond it allocations fail as if memory ran out.

    The limit is on writable memory (RLIMIT_DATA) instead of address space, as threads reserve much more address space
    than they use. A lower limit that is set already stays. On systems other than Linux nothing is limited.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        has = int(_STATM.read_text().split()[5]) * resource.getpagesize()  # field 6 of statm: data and stack, in pages
    except (OSError, IndexError, ValueError):
        yield
        return
    lowest = min((bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY), default=has + more)
    resource.setrlimit(resource.RLIMIT_DATA, (min(has + more, lowest), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def available() -> int:
    """Return the free RAM in bytes, at most what a Slurm job or a container leaves; 8 GiB are assumed without /proc."""
    free = [*_left_by_groups()]
    for line in _SYSTEM.read_text().splitlines() if _SYSTEM.exists() else []:
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    return min(free, default=8 << 30)


def control_groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folders of this process's control groups for a controller such as `memory`, its own one first.

    With each, yield whether it is of version 2 of cgroups instead of 1.
    """
    for line in _GROUPS.read_text().splitlines() if _GROUPS.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _MOUNTED / controller if controllers else _MOUNTED
        group = top / path.lstrip("/")
        yield from ((folder, not controllers) for folder in (group, *group.parents) if folder.is_relative_to(top))


def _left_by_groups() -> Iterator[int]:
    """Yield the bytes that each control group of this process with a limit leaves.

    The file cache counts as left, since the kernel frees it on demand.
    """
    for folder, second in control_groups("memory"):
        limit, usage = ("max", "current") if second else ("limit_in_bytes", "usage_in_bytes")
        try:  # a group without a limit has no such file, or "max" in it
            stated, used = (int((folder / f"memory.{name}").read_text()) for name in (limit, usage))
            cached = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        yield max(0, stated - used + sum(int(cached.get(f"{kind}_file", 0)) for kind in ("active", "inactive")))
