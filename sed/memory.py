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

    The limit is on writable memory (RLIMIT_DATA) instead of address space, as threads reserve much more address space
    than they use. A lower limit that is set already stays. On systems other than Linux nothing is limited.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        has = int(_SHOWN.read_text().split()[5]) * resource.getpagesize()  # field 6 of statm: data and stack, in pages
    except (OSError, IndexError, ValueError):
        yield
        return
    lowest = min((bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY), default=has + more)
    resource.setrlimit(resource.RLIMIT_DATA, (min(has + more, lowest), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
