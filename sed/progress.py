"""Progress of long tasks: a bar on a terminal, else a log line every ten seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

_log = logging.getLogger("sed.progress")
_transfers = logging.getLogger("sed.fetch")

EVERY = 10.0
"""seconds between log lines"""
WINDOW = 60.0
"""seconds over which the rate is averaged"""
STEADY = 0.75
"""The time since the start, without a slow start, is halved: the rate counts as steady, and the time left is shown,
once the rate of the slower half is at least this share of the other's."""


class Progress:
    """Progress of one task: a bar on a terminal, else a log line every `EVERY` seconds.

    As a context manager, it ends the bar, which stays on the terminal as it was last.
    """

    def __init__(
        self,
        total: float | None,
        unit: str,
        *,
        done: float = 0,
        title: str = "",
        logger: logging.Logger = _log,
        describe: Callable[[Progress], str] | None = None,
        scaled: bool = False,
        shown: bool = True,
    ) -> None:
        """
        Args:
            total: amount to do; None if unknown.
            unit: name of what is counted, in the singular.
            done: amount done before the start.
            title: text before the line and the bar.
            logger: logger of the lines.
            describe: function that returns the line; None: `line`.
            scaled: whether the bar writes 2.1M instead of 2100000.
            shown: whether to show bar and lines; with several processes, only the first does.
        """
        self.total, self.unit, self.done, self.title = total, unit, done, title
        self.moved: float = 0
        """amount done since the start; `done` also includes earlier work"""
        self.started = self._reported = time.monotonic()
        self._seen = deque([(self.started, 0.0)])  # (time, `moved` at that time), for the rate
        self._steady = False
        self._logger, self._describe, self._shown = logger, describe or Progress.line, shown
        self._bar: tqdm | None = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit=unit, unit_scale=scaled, desc=title or None)

    def advance(self, count: float = 1, *, report: bool = True) -> bool:
        """Count `count` more as done.

        Args:
            count: amount, in `unit`.
            report: whether to call `report`; if False, the caller does it later.

        Returns:
            The value of `report`; False without it.
        """
        self.done += count
        self.moved += count
        now = time.monotonic()
        if now - self._seen[-1][0] >= WINDOW / 60:  # at most one entry per second
            self._seen.append((now, self.moved))
        if not self._steady:
            self._settle(now)
        if self._bar is not None:
            self._bar.update(count)
        return report and self.report()

    def _settle(self, now: float) -> None:
        """Find out whether the rate is steady; forget a slow start, such as compilation and warm-up, at once.

        After WINDOW seconds a falling rate counts as steady, too.
        """
        begin, before = self._seen[0]
        if now - self.started < 2 * EVERY or now - begin < EVERY:  # too early to compare halves
            return
        middle = next(n for n, (time_of, _) in enumerate(self._seen) if 2 * (time_of - begin) >= now - begin)
        then, halfway = self._seen[middle]
        if then >= now:  # a single long step: the rate of the next ones is unknown
            return
        early, late = (halfway - before) / (then - begin), (self.moved - halfway) / (now - then)
        if early < STEADY * late:
            for _ in range(middle):
                self._seen.popleft()
        else:
            self._steady = late >= STEADY * early or now - self.started >= WINDOW

    def expect(self, total: float | None, done: float) -> None:
        """Correct the total and the amount done; neither affects the rate."""
        self.total, self.done = total, done
        if self._bar is not None:
            self._bar.total, self._bar.n = total, done
            self._bar.refresh()

    def report(self) -> bool:
        """Log a line if none was logged for `EVERY` seconds, and there is no bar.

        Returns:
            Whether `EVERY` seconds have passed since it last returned True: callers time other periodic work by it.
        """
        now = time.monotonic()
        if now - self._reported < EVERY:
            return False
        self._reported = now
        if self._shown and self._bar is None:
            self._logger.info("%s", self._describe(self))
        return True

    def postpone(self) -> None:
        """Postpone the next line by `EVERY` seconds, because the caller has logged one itself."""
        self._reported = time.monotonic()

    @property
    def rate(self) -> float:
        """Average amount per second over the last `WINDOW` seconds."""
        now = time.monotonic()
        while len(self._seen) > 1 and now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        return (self.moved - before) / max(now - then, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None if the total is unknown, or the rate is 0 or not steady yet."""
        rate = self.rate
        return None if self.total is None or not self._steady or rate <= 0 else max(self.total - self.done, 0) / rate

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return max(time.monotonic() - self.started, 1e-9)

    def line(self) -> str:
        """Return `12 of 40 clips, 3.1 clips/s, 9 s left`, after the title."""
        whole = f" of {self.total:.0f}" if self.total is not None else ""
        left = "" if self.left is None else f", {duration(self.left)} left"
        title = f"{self.title} " if self.title else ""
        return f"{title}{self.done:.0f}{whole} {self.unit}s, {_figures(self.rate)} {self.unit}s/s{left}"

    def close(self) -> None:
        """End the bar, which stays on the terminal as it was last."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Meter:
    """Progress of several files in bytes; `at` may be called from any thread."""

    def __init__(self, title: str = "download") -> None:
        self.title = title
        self._sizes: dict[str, int] = {}
        self._at: dict[str, int] = {}
        self._lock = threading.Lock()
        self._progress: Progress | None = None

    def expect(self, name: str, size: int, have: int = 0) -> None:
        """Add a file to the total.

        Args:
            name: the file.
            size: its size in bytes; 0: unknown.
            have: bytes that have been fetched already.
        """
        with self._lock:
            self._sizes[name], self._at[name] = size, have
            if self._progress is not None:
                self._progress.expect(*self._amounts())

    def at(self, name: str, position: int) -> None:
        """Record that `name` has reached `position`, in bytes."""
        with self._lock:
            if self._progress is None:
                total, done = self._amounts()
                self._progress = Progress(
                    total, "B", done=done, title=self.title, logger=_transfers, describe=_transfer, scaled=True
                )
            step, added = position - self._at.get(name, 0), name not in self._at
            self._at[name] = position
            if step < 0 or added:  # the file was started again, or its size is unknown and so is the total
                self._progress.expect(*self._amounts())
            else:
                self._progress.advance(step)

    def left(self) -> dict[str, int]:
        """Return the bytes that each file still needs; 0 for one of unknown size."""
        return {name: max(size - self._at.get(name, 0), 0) for name, size in self._sizes.items()}

    def close(self) -> None:
        """End the bar; the next call of `at` begins another below it."""
        with self._lock:
            if self._progress is not None:
                self._progress.close()
            self._progress = None

    def _amounts(self) -> tuple[int | None, int]:
        """Return the total of all files in bytes, None if the size of one is unknown, and the bytes that are done."""
        known = all(self._sizes.get(name) for name in self._at)
        return sum(self._sizes.values()) if known and self._sizes else None, sum(self._at.values())


def _transfer(progress: Progress) -> str:
    """Return `download: 890 MB of 1.2 GB, 12 MB/s, 26 s left`."""
    whole = "" if progress.total is None else f" of {human(progress.total)}"
    left = "" if progress.left is None else f", {duration(progress.left)} left"
    return f"{progress.title}: {human(progress.done)}{whole}, {human(progress.rate)}/s{left}"


def human(size: float) -> str:
    """Format a number of bytes for people: 890 MB."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def duration(seconds: float) -> str:
    """Format a span of time for people: 12 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _figures(rate: float) -> str:
    """Format with two significant figures, from 10 on as a whole number: 1892, 31, 3.1, 0.05."""
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
