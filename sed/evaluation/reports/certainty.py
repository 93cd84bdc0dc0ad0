"""Intervals as text, and the caveat for scores on few clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sed.evaluation.metrics.metric import Entry

FEW = 30
"""number of clips; with fewer, intervals over clips are too narrow, and one clip changes numbers by a few per cent"""
NO_INTERVAL = "no interval: all samples alike"


def interval_text(bounds: Sequence[float] | None, entry: Entry) -> str:
    """Format an interval: `[55.10, 63.90]`; empty without bounds.

    Equal bounds mean that all bootstrap samples had the same value, usually because of few clips. This is not
    certainty, so the text says that there is no interval.
    """
    if not bounds:
        return ""
    low, high = bounds
    return f"[{NO_INTERVAL}]" if low == high else f"[{entry.plain(low)}, {entry.plain(high)}]"


def caveat(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the caveat to print beside scores on fewer than FEW clips; empty if all were scored on enough."""
    fewest = min((result["clips"] for result in results), default=FEW)
    if fewest >= FEW:
        return ""
    clips = f"{fewest} clip{'s' * (fewest != 1)}"
    return f"Scored on {clips} only: a first look; on other recordings the numbers may be very different."
