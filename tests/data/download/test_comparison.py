"""Comparison of copies with the same waveform and of copies that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.download.comparison import Difference, compare
from sed.errors import UserError

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, 10 * RATE)


def written(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate)
    return path


@pytest.mark.parametrize(
    ("other", "seconds", "level", "correlation"),
    [
        (NOISE, 0, 0, 1),
        (np.roll(NOISE, 800), 0, 0, 0.995),
        (np.roll(NOISE, 1600), 0, 0, 0.99),  # 0.1 s: the largest shift that is searched
        (np.roll(NOISE, -1600), 0, 0, 0.99),
        (np.roll(NOISE, 1700), 0, 0, 0.0),
        (np.roll(NOISE, -1700), 0, 0, 0.0),
        (NOISE[: 9 * RATE], -1, 0, 0.9487),  # the root of the share that both have, 0.9
        (NOISE / 2, 0, -6.02, 1),
        (NOISE[::-1], 0, 0, 0.0),
        (-NOISE, 0, 0, 0.0),
    ],
)
def test_differences_of_length_level_and_waveform_are_measured(
    tmp_path: Path, other: np.ndarray, seconds: float, level: float, correlation: float
) -> None:
    found = compare(written(tmp_path / "a.wav", NOISE), written(tmp_path / "b.flac", other))
    assert found.seconds == pytest.approx(seconds, abs=1e-3)
    assert found.level == pytest.approx(level, abs=0.05)
    assert found.correlation == pytest.approx(correlation, abs=0.03)
    assert found.is_large == (abs(seconds) > 0.1 or abs(level) > 1 or correlation < 0.9)


def test_other_rates_and_silence_are_compared(tmp_path: Path) -> None:
    from sed.data.audio import resample

    low = written(tmp_path / "low.wav", resample(NOISE.astype("float32"), RATE, 12_000), 12_000)
    band = resample(resample(NOISE.astype("float32"), RATE, 12_000), 12_000, RATE)
    assert compare(written(tmp_path / "a.wav", band), low).correlation > 0.99
    quiet = written(tmp_path / "quiet.wav", np.zeros(RATE))
    assert not compare(quiet, quiet).is_large
    found = compare(quiet, written(tmp_path / "s.wav", NOISE[:RATE]))
    assert found.is_large and found.correlation == 0
    assert found.level == pytest.approx(80, abs=0.1)  # from -100 dB, the lowest level that is stated, to -20 dB
    short = written(tmp_path / "short.wav", NOISE[:800])  # shorter than the largest shift
    assert compare(short, short) == pytest.approx((0, 0, 1), abs=1e-6)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError):
        compare(quiet, tmp_path / "bad.wav")


@pytest.mark.parametrize(
    ("difference", "is_large"),
    [
        ((0.1, 1.0, 0.9), False),
        ((-0.1, -1.0, 1.0), False),
        ((0.101, 0.0, 1.0), True),
        ((-0.101, 0.0, 1.0), True),
        ((0.0, 1.01, 1.0), True),
        ((0.0, -1.01, 1.0), True),
        ((0.0, 0.0, 0.899), True),
        ((float("nan"), 0.0, 1.0), True),
        ((0.0, float("nan"), 1.0), True),
        ((0.0, 0.0, float("nan")), True),
    ],
)
def test_a_tenth_of_a_second_a_decibel_and_a_correlation_of_a_tenth_less_are_no_large_difference(
    difference: tuple[float, float, float], is_large: bool
) -> None:
    assert Difference(*difference).is_large == is_large
