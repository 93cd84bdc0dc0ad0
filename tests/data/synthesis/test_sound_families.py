"""Families of synthetic sounds: variation between sources and between events of a source, spectra and lengths."""

from __future__ import annotations

import numpy as np
import pytest

from sed.data.synthesis.signals import RATE
from sed.data.synthesis.sound_families import FAMILIES

LABELS = sorted(FAMILIES)
HUMMING = ["Blender", "Electric_shaver_toothbrush", "Vacuum_cleaner"]
NOISY = ["Frying", "Running_water"]


def sound(label: str, source: int, event: int, seconds: float = 1.5) -> np.ndarray:
    """Return an event (samples,) of one source of a family."""
    return FAMILIES[label](np.random.default_rng(source))(np.random.default_rng(event), seconds)


def flatness(samples: np.ndarray) -> float:
    """Return the spectral flatness, geometric over arithmetic mean: 0.56 for white noise, near 0 for tones."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2 + 1e-12
    return float(np.exp(np.log(power).mean()) / power.mean())


@pytest.mark.parametrize("label", LABELS)
def test_a_voice_is_a_function_of_its_source_and_its_event(label: str) -> None:
    first = sound(label, 1, 2)
    np.testing.assert_array_equal(first, sound(label, 1, 2))
    for other in (sound(label, 1, 3), sound(label, 4, 2)):
        size = min(len(first), len(other))
        assert np.abs(first[:size] - other[:size]).max() > 0.01 * np.abs(first).max()


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seconds", [0.25, 3.0])
def test_a_voice_has_about_the_requested_length_and_silent_ends(label: str, seconds: float) -> None:
    for source in range(4):
        samples = sound(label, source, 7, seconds)
        assert np.isfinite(samples).all() and samples.any()
        assert 0.3 * seconds < len(samples) / RATE < 1.4 * seconds + 0.1
        assert max(abs(samples[0]), abs(samples[-1])) < 0.1 * np.abs(samples).max()  # no click


@pytest.mark.parametrize("label", LABELS)
def test_energy_lies_above_rumble_and_below_the_nyquist_frequency(label: str) -> None:
    samples = sound(label, 3, 5, 2.0)
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    assert power[(frequency > 50) & (frequency < 7900)].sum() > 0.9 * power.sum()


def test_frying_and_water_are_noise_and_alarms_are_tones() -> None:
    noisy = [flatness(sound(label, source, 1)) for label in NOISY for source in range(4)]
    tonal = [flatness(sound("Alarm_bell_ringing", source, 1)) for source in range(8)]
    assert min(noisy) > 3 * max(tonal)


def test_appliances_are_continuous_and_calls_have_gaps() -> None:
    def quiet(label: str, source: int) -> float:
        """Return the fraction of 20 ms blocks that are 40 dB below the loudest."""
        samples = sound(label, source, 1, 4.0)
        blocks = (samples[: len(samples) // 320 * 320].reshape(-1, 320) ** 2).mean(1)
        return float((blocks < 1e-4 * blocks.max()).mean())

    for source in range(3):
        assert max(quiet(label, source) for label in (*HUMMING, *NOISY)) < 0.1
    assert np.mean([quiet("Dog", source) for source in range(4)]) > 0.15
