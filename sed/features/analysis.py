"""What a front end asks of the kind of analysis that its settings name, and the power spectrum that all kinds share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Analysis(Protocol):
    """What one kind of front end does to a waveform and to each of its frames before the window."""

    def prepare(self, waveforms: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return waveforms (..., samples) as they are framed.

        Args:
            waveforms: (..., samples), zero beyond the valid ones.
            valid: samples that count (..., 1); None: all. What comes out beyond them is not used.
        """
        ...

    def condition(self, frames: Tensor, out: Tensor) -> Tensor:
        """Write conditioned frames (..., frames, window) to `out`, of the same shape, and return it."""
        ...

    def traced(self, frames: Tensor) -> Tensor:
        """Return what `condition` writes, in operations that export can trace."""
        ...


def spectrum(analysis: Analysis, frames: Tensor, window: Tensor, fft_size: int) -> Tensor:
    """Return the power spectrum (..., frames, fft_size / 2 + 1) of frames (..., frames, window)."""
    # One buffer for all: what is written once stays in the cache (measured: a sixth of the time).
    padded = frames.new_zeros(*frames.shape[:-1], fft_size)
    analysis.condition(frames, padded[..., : len(window)]).mul_(window)
    if padded.is_cuda:
        # Beside a full-scale tone, torchaudio's quiet bins are float32 rounding of its FFT (0.07 in the log);
        # another FFT library can only come near by rounding less. Exact under any TF32 setting, too.
        padded = padded.double()
    return power(torch.fft.rfft(padded))


def power(spectrum: Tensor) -> Tensor:
    """|X|^2 of a complex spectrum, whose memory it takes; without the square root that abs() would take first."""

    return torch.add(*torch.view_as_real(spectrum).square_().unbind(-1))
