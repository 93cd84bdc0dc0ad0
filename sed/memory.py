"""Limits of the memory that a stranger's file may ask for."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHOWN = Path("/proc/self/statm")


@contextmanager
def limited(more: int) -> Iterator[None]:
    """Let this process allocate so many bytes more, meanwhile; what goes beyond fails as if the machine had none left.

    Counted is what may be written to (RLIMIT_DATA): threads reserve far more of the address space than they use. A
    limit that is lower already stays. Does nothing where the system does not show how much there is (not Linux).
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
