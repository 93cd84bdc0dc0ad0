"""Number and position of frames, against torch and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sed.features.framing import Framing
from sed.features.logmel import FrontEnd

X = torch.arange(1.0, 101.0)


def framing(centring: str, window: int = 20, shift: int = 8, fft_size: int = 20) -> Framing:
    return Framing(window, shift, fft_size, centring)


def test_without_centring_frames_are_those_that_fit_completely() -> None:
    found = framing("none").frames(X)
    assert found.shape == (11, 20) and found[0, 0] == 1 and found[-1, -1] == 100
    assert found[3].tolist() == list(range(25, 45))


@pytest.mark.parametrize("window, fft_size", [(20, 20), (20, 32), (15, 15), (15, 32)])
def test_mirrored_ends_are_torch_s(window: int, fft_size: int) -> None:
    ours, taper = framing("reflect", window, 8, fft_size), torch.hann_window(window)
    for samples in (fft_size // 2 + 1, 40, 47, 48, 100):
        x = torch.randn(2, samples)
        theirs = torch.stft(
            x, fft_size, 8, window, taper, center=True, pad_mode="reflect", return_complex=True
        ).transpose(1, 2)  # fmt: skip
        frames = ours.frames(x)
        assert ours.num_frames(samples) == theirs.shape[1] == frames.shape[1]
        torch.testing.assert_close(torch.fft.rfft(frames * taper, fft_size).abs(), theirs.abs(), rtol=0, atol=1e-4)


def test_fade_puts_each_shift_in_the_middle_of_a_window() -> None:
    ours = framing("fade")  # six samples to either side of a shift of eight
    padded = np.concatenate([np.zeros(6), X.numpy(), np.zeros(30)])
    for samples in (1, 8, 9, 96, 97, 100):
        frames = ours.frames(X[:samples])
        assert len(frames) == ours.num_frames(samples) == -(-samples // 8)
        x = np.where(np.arange(len(padded)) < 6 + samples, padded, 0)
        np.testing.assert_array_equal(frames, [x[8 * i : 8 * i + 20] for i in range(len(frames))])


@pytest.mark.parametrize("centring", ["none", "reflect", "fade"])
def test_the_shortest_waveform_has_a_frame(centring: str) -> None:
    ours = framing(centring, 20, 8, 32)
    assert ours.frames(X[: ours.min_samples]).shape[0] == ours.num_frames(ours.min_samples) >= 1
    counts = torch.arange(ours.min_samples, 200)
    assert ours.num_frames(counts).tolist() == [ours.num_frames(n) for n in counts.tolist()]  # as in the exported graph


def test_inconsistent_sizes_are_refused() -> None:
    for bad, message in (
        ({"frame_length": 0.001, "sample_rate": 1000, "f_max": 400}, "shorter than two samples"),
        ({"fft_size": 256}, "less than the window"),
        ({"centring": "fade", "frame_shift": 0.05}, "less than a shift"),
    ):
        with pytest.raises(ValueError, match=message):
            FrontEnd(**bad)
