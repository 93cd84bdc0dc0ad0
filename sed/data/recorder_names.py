"""Start time of a recording from the file name that its recorder gave it."""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, timedelta
from pathlib import PurePath

# AudioMoth 20260501_053000.WAV, Song Meter SITE_20260501_053000.wav, phones 2026-05-01 05.30.00.m4a, and the like.
_START = re.compile(
    r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})[T_ -]{1,2}(\d{2})([-:.h_]?)(\d{2})[-:.m_]?(\d{2})(Z(?![A-Za-z]))?(?!\d)"
)


def start_of(name: str) -> datetime | None:
    """Return the time in a recording's file name; None without one, or if it is not a valid date and time.

    A time that ends in Z has the time zone UTC; another has none: it is what the recorder's clock showed.
    """
    found = _START.search(PurePath(name).name)
    if found is None:
        return None
    year, _, month, day, hour, _, minute, second, utc = found.groups()
    if int(year) == MAXYEAR:  # `clock_time` could exceed what a datetime holds
        return None
    try:
        start = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
    except ValueError:
        return None
    return start.replace(tzinfo=UTC) if utc else start


def clock_time(start: datetime, seconds: float) -> str:
    """Return the time `seconds` after a recording's start, in ISO 8601 to the millisecond."""
    return (start + timedelta(seconds=round(seconds, 3))).isoformat(timespec="milliseconds")
