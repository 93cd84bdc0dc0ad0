"""How far a long transfer is: a bar on a terminal, else a plain line now and then."""

from __future__ import annotations

import logging
import sys
import threading
import time

from tqdm import tqdm

log = logging.getLogger("sed.fetch")

EVERY = 10.0  # seconds between plain lines


class Meter:
    """Bytes of several files at once; `at` may be called from any thread."""

    def __init__(self, title: str = "download") -> None:
        self.title = title
        self._sizes: dict[str, int] = {}
        self._at: dict[str, int] = {}
        self._lock = threading.Lock()
        self._bar: tqdm | None = None
        self._arrived = 0
        self._said = (time.monotonic(), 0)

    def expect(self, name: str, size: int, have: int = 0) -> None:
        """Count `name` in: `size` bytes, of which `have` are there."""
        with self._lock:
            self._sizes[name], self._at[name] = size, have

    def at(self, name: str, position: int) -> None:
        """`name` has reached `position`, in bytes."""
        with self._lock:
            step = position - self._at.get(name, 0)
            self._at[name] = position
            self._arrived += max(step, 0)
            total, done = sum(self._sizes.values()), sum(self._at.values())
            if sys.stderr.isatty():
                if self._bar is None:
                    self._bar = tqdm(
                        total=total or None, initial=done - step, unit="B", unit_scale=True, desc=self.title
                    )
                self._bar.update(step)
                return
            now, (before, bytes_before) = time.monotonic(), self._said
            if now - before >= EVERY:
                rate = (self._arrived - bytes_before) / (now - before)
                whole = f" of {human(total)}" if total else ""
                left = f", {duration(max(total - done, 0) / rate)} left" if rate and total else ""
                log.info("%s: %s%s, %s/s%s", self.title, human(done), whole, human(rate), left)
                self._said = now, self._arrived

    def left(self) -> dict[str, int]:
        """Bytes that each file still needs."""
        return {name: max(size - self._at.get(name, 0), 0) for name, size in self._sizes.items()}

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @property
    def arrived(self) -> int:
        """Bytes that came over the network."""
        return self._arrived


def human(size: float) -> str:
    """A number of bytes, for people: 890 MB."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def duration(seconds: float) -> str:
    """A span of time, for people: 12 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
