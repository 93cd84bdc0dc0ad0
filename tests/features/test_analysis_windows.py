"""Windows against SciPy's and NumPy's, and Kaldi's features with each of them against torchaudio's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
import torchaudio

from sed.features.logmel import WINDOWS, FrontEnd

NAMES = [name for name in WINDOWS if name != "auto"]


def taper(window: str, ends: str = "symmetric") -> np.ndarray:
    return FrontEnd(front_end="stft", window=window, window_ends=ends).taper.numpy()


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize("ends", ["symmetric", "periodic"])
def test_windows_equal_scipy_s(name: str, ends: str) -> None:
    theirs = scipy.signal.get_window(name, 400, fftbins=ends == "periodic")
    np.testing.assert_allclose(taper(name, ends), theirs, rtol=0, atol=5e-7)


def test_povey_is_a_hann_window_to_the_power_of_085() -> None:
    np.testing.assert_allclose(taper("povey"), np.hanning(400) ** 0.85, atol=1e-6)


def test_rectangular_is_one_everywhere() -> None:
    assert (taper("rectangular") == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_kaldi_s_features_with_each_window_equal_torchaudio(name: str) -> None:
    x = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    theirs = torchaudio.compliance.kaldi.fbank(
        x, sample_frequency=16000, window_type={"hann": "hanning"}.get(name, name), num_mel_bins=64, dither=0.0
    )
    ours = FrontEnd(window=name, mel_bins=64)(x)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
