"""Memory limits while reading untrusted files."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHOWN = Path("/proc/self/statm")


@contextmanager
def limited(more: int) -> Iterator[None]:
    """Limit this process to the given bytes of additional memory; beyond it allocations fail as if memory ran out.

    Writable memory counts (RLIMIT_DATA): threads reserve far more address space than they use. A lower limit stays.
    Does nothing where the system does not report the process's memory (not Linux).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        has = int(_SHOWN.read_text().split()[5]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        yield
        return
    lowest = min((bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY), default=has + more)
    resource.setrlimit(resource.RLIMIT_DATA, (min(has + more, lowest), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
