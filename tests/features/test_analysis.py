"""Every analysis of the registry fulfils the protocol."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sed.features.analysis import power, spectrum
from sed.features.logmel import FRONT_ENDS, FrontEnd


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_shapes_are_those_stated_for_the_shortest_waveform_and_a_longer_one(kind: str) -> None:
    front_end = FrontEnd(front_end=kind, mel_bins=32, frame_length=0.064)
    assert front_end.taper.shape == (front_end.window_samples,)
    assert front_end.bank.shape == (front_end.fft_size // 2 + 1, 32)
    for samples in (front_end.min_samples, 5000):
        assert front_end(torch.randn(2, samples)).shape == (2, front_end.num_frames(samples), 32)
    assert front_end.num_frames(front_end.min_samples - 1) == 0 < front_end.num_frames(front_end.min_samples)


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_traced_equals_condition(kind: str) -> None:
    """Export cannot trace writes into slices of a buffer, so each analysis has both."""
    analysis = FrontEnd(front_end=kind).analysis
    frames = torch.randn(2, 5, 64)
    assert torch.equal(analysis.traced(frames), analysis.condition(frames, torch.full((2, 5, 64), torch.nan)))


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_zeros_beyond_the_valid_samples_have_no_influence(kind: str) -> None:
    analysis, x = FrontEnd(front_end=kind).analysis, torch.randn(2, 100)
    padded = torch.cat([x, torch.zeros(2, 30)], 1)
    found = analysis.prepare(padded, torch.full((2, 1), 100.0))
    torch.testing.assert_close(found[:, :100], analysis.prepare(x))


def test_the_spectrum_is_numpy_s() -> None:
    frames, window = torch.randn(3, 50), torch.rand(50)
    for fft_size in (50, 64):
        found = spectrum(FrontEnd(front_end="stft").analysis, frames, window, fft_size)
        expected = np.abs(np.fft.rfft((frames * window).double().numpy(), fft_size)) ** 2
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_power_overwrites_its_spectrum() -> None:
    spectrum = torch.tensor([3 + 4j, 1j])
    assert power(spectrum).tolist() == pytest.approx([25, 1]) and math.isclose(float(spectrum[0].real), 9)
