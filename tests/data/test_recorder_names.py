"""Start times in recorders' file names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sed.data.recorder_names import clock_time, start_of

START = datetime(2026, 5, 1, 5, 30, 7)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("20260501_053007.WAV", START),
        ("deep/SITE3_20260501_053007.wav", START),
        ("SM4_20260501_053007_000.wav", START),
        ("2026-05-01T05-30-07.m4a", START),
        ("2026-05-01 05.30.07.m4a", START),
        ("20260501T053007Z.flac", START.replace(tzinfo=UTC)),
        ("20260501_053007Z_1.flac", START.replace(tzinfo=UTC)),
        ("20260501_053007Zoo.wav", START),  # a name, not the mark of UTC
        ("Y-abcdefghij_350.000_360.000.wav", None),
        ("00000000_000000.wav", None),  # no year 0
        ("20261301_053007.wav", None),  # no month 13
        ("99991231_235959.wav", None),  # times after it may exceed what a datetime holds
        ("120260501_053007.wav", None),  # nine digits
        ("20260501_053007/rec.wav", None),  # the name of the folder
    ],
)
def test_a_name_gives_its_start_or_none(name: str, start: datetime | None) -> None:
    assert start_of(name) == start


def test_clock_times_pass_midnight_and_are_rounded() -> None:
    assert clock_time(datetime(2026, 12, 31, 23, 59, 59), 1.25) == "2027-01-01T00:00:00.250"
    assert clock_time(START, 0.9999) == "2026-05-01T05:30:08.000"  # rounded, not cut
    assert clock_time(START.replace(tzinfo=UTC), 0) == "2026-05-01T05:30:07.000+00:00"
