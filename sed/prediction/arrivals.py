"""Find complete recordings in a folder that a recorder writes to.

A recording is complete when it has not changed for some seconds and no process has it open for writing; where the
system does not say whether a process has (network drives, other users' files), only the seconds count. An unreadable
file is tried again when it changes, because some recorders write the length in the header last. If it stays unreadable,
it is given up.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sed.data.recordings import find_recordings

log = logging.getLogger("sed.predict")
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = {"nfs", "nfs4", "cifs", "smb3"}
"""types of file systems that refuse a lease without any writer, too, unless the server has delegated the file"""


class Version(NamedTuple):
    """Properties that change when a file is written to or replaced."""

    size: int
    """in bytes"""
    modified: int
    """time of the last change in ns"""
    inode: int


class _Seen(NamedTuple):
    """A recording's newest version, and the time (of `Arrivals.clock`) at which a scan first found it."""

    version: Version
    since: float


@dataclass
class Arrivals:
    """The recordings below a folder that is scanned repeatedly.

    Attributes:
        folder: where a recorder writes.
        settle: seconds without a change after which a recording is complete.
        patience: seconds without a change after which an unreadable recording is given up.
        clock: returns the time in seconds.
    """

    folder: Path
    settle: float
    patience: float
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _failed: dict[str, tuple[Version, str]] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def look(self, done: Container[str]) -> list[str]:
        """Scan the folder; return the recordings that are complete, by their paths relative to the folder, sorted.

        Recordings in `done` are left out, and those that could not be read and have not changed since.
        """
        now, seen = self.clock(), {}
        found = find_recordings(self.folder)
        for problem in {*found.closed} - self._warned:  # unreadable folders: each once, not in every scan
            log.warning("%s", problem)
        self._warned = {*found.closed}
        for path in found.paths:
            name = path.relative_to(self.folder).as_posix()
            if name not in done and (version := _version(path)) is not None:
                before = self._seen.get(name)
                seen[name] = before if before and before.version == version else _Seen(version, now)
        self._seen = seen
        self._failed = {
            name: failure for name, failure in self._failed.items() if name in seen and seen[name].version == failure[0]
        }
        return [
            name
            for name, (_, since) in seen.items()
            if now - since >= self.settle and name not in self._failed and not is_being_written(self.folder / name)
        ]

    def failed(self, name: str, problem: str) -> None:
        """Note that a recording could not be read."""
        if name in self._seen:
            self._failed[name] = (self._seen[name].version, problem)

    def given_up(self) -> dict[str, str]:
        """Return {name: problem} of unreadable recordings that have not changed for `patience` seconds.

        The caller adds them to `done`: otherwise `look` would return them again.
        """
        now = self.clock()
        late = [name for name in self._failed if now - self._seen[name].since >= self.patience]
        return {name: self._failed.pop(name)[1] for name in late}

    def waiting(self, done: Container[str]) -> bool:
        """Return whether the last scan found a recording that is not in `done`."""
        return any(name not in done for name in self._seen)


def _version(path: Path) -> Version | None:
    try:
        status = path.stat()
    except OSError:  # removed since the scan
        return None
    return Version(status.st_size, status.st_mtime_ns, status.st_ino)


def is_being_written(path: Path) -> bool:
    """Return whether a process has a file open for writing; False where the system does not say."""
    names = ("F_SETLEASE", "F_RDLCK", "F_UNLCK", "F_SETSIG")
    lease, read, unlock, set_signal = (getattr(fcntl, name, None) for name in names)
    if lease is None or read is None or unlock is None or set_signal is None:  # only Linux has leases
        return False
    try:
        # O_NONBLOCK: without waiting, should a pipe have replaced the recording or another process hold a write lease
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False  # the reader reports the fault
    try:
        # A writer that comes while the lease is held makes the kernel send a signal: by default SIGIO, which kills;
        # SIGURG is ignored.
        fcntl.fcntl(descriptor, set_signal, signal.SIGURG)
        fcntl.fcntl(descriptor, lease, read)  # the kernel refuses a read lease while there is a writer
        fcntl.fcntl(descriptor, lease, unlock)
    except OSError as error:
        return error.errno == errno.EAGAIN and not _is_on_network(os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)
    return False


def _is_on_network(device: int) -> bool:
    """Return whether the file system with this number (`st_dev`) is one of `_NETWORK`."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    # proc(5): ID, parent, device number, root, mount point, options, ... - type, source, options
    fields = [line.split() for line in lines]
    return any(one[2] == number and one[one.index("-") + 1] in _NETWORK for one in fields if "-" in one)
