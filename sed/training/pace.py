"""How fast a run is, for the time that it says is left."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 60.0
"""seconds looked back on: compiling, warming up, and what else was slow at the start soon count no more"""


class Pace:
    """Steps a second of late, as often as it is told where the run is."""

    def __init__(self, step: int) -> None:
        self._seen = deque([(time.monotonic(), step)])

    def at(self, step: int) -> float:
        """The rate, now that `step` steps are done."""
        now = time.monotonic()
        self._seen.append((now, step))
        while now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        return (step - before) / max(now - then, 1e-9)
