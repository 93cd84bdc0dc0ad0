"""What a front end asks of the kind of analysis that its settings name."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Analysis(Protocol):
    """One kind of log-mel analysis. `FrontEnd` holds the window and the mel bank, on the device that it is on.

    It is built from (settings, window_samples, shift_samples), where settings are the front end's options.
    """

    fft_size: int
    min_samples: int
    """the shortest waveform that has a frame"""
    decibel: float
    """one decibel in the units of the features"""
    silence: float
    """the features of silence"""

    def window(self) -> Tensor:
        """Return the analysis window (window_samples,)."""
        ...

    def bank(self) -> Tensor:
        """Return the mel bank (fft_size / 2 + 1, mel_bins)."""
        ...

    def num_frames(self, samples: int) -> int:
        """Return the frames of a waveform that is not shorter than `min_samples`."""
        ...

    def spectrum(self, waveforms: Tensor, window: Tensor) -> Tensor:
        """(..., samples) -> (..., frames, fft_size / 2 + 1): what the mel bank sums."""
        ...

    def logarithm(self, mel: Tensor) -> Tensor:
        """(..., frames, mel_bins) -> the features, in place."""
        ...


def power(spectrum: Tensor) -> Tensor:
    """|X|^2 of a complex spectrum, whose memory it takes; without the square root that abs() would take first."""

    return torch.add(*torch.view_as_real(spectrum).square_().unbind(-1))
