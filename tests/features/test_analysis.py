"""Every kind of analysis of the registry keeps to the protocol."""

from __future__ import annotations

import math

import pytest
import torch

from sed.features.analysis import power
from sed.features.logmel import FRONT_ENDS, FrontEnd


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_frames_bins_and_the_shortest_waveform(kind: str) -> None:
    front_end = FrontEnd(front_end=kind, mel_bins=32, frame_length=0.064)
    assert front_end.window.shape == (front_end.window_samples,)
    assert front_end.bank.shape == (front_end.fft_size // 2 + 1, 32)
    for samples in (front_end.min_samples, 5000):
        assert front_end(torch.randn(2, samples)).shape == (2, front_end.num_frames(samples), 32)
    assert front_end.num_frames(front_end.min_samples - 1) == 0 < front_end.num_frames(front_end.min_samples)


@pytest.mark.parametrize("kind", FRONT_ENDS)
def test_a_decibel_is_a_decibel_and_silence_is_the_floor(kind: str) -> None:
    torch.manual_seed(0)
    front_end, noise = FrontEnd(front_end=kind, mel_bins=32), torch.randn(1, 8000)
    louder = front_end(noise * 10 ** (6 / 20)) - front_end(noise)
    assert torch.allclose(louder, torch.tensor(6 * front_end.decibel), atol=1e-3)
    silence = front_end(torch.zeros(1, 8000))
    assert silence.min() >= front_end.silence - 1e-4


def test_power() -> None:
    spectrum = torch.tensor([3 + 4j, 1j])
    assert power(spectrum).tolist() == pytest.approx([25, 1]) and math.isclose(float(spectrum[0].real), 9)
