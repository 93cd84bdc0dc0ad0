"""Mel filter banks: Kaldi's, and the HTK one of the DCASE baseline."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kaldi_mel_bank(bins: int, fft_size: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """Kaldi's triangles, linear in mel, as (fft_size / 2 + 1, bins) float32; the Nyquist bin has no weight.

    Low bins may be empty where the mel step is under an FFT bin's width, as in Kaldi. In float32 from the start:
    where an FFT bin all but touches a triangle's foot, the weight is rounding error, and a loud tone beside a quiet
    filter shows it (0.09 in the log), so the rounding has to be that of the features that the AST was trained on.
    """
    low, high = 1127.0 * math.log(1.0 + f_min / 700.0), 1127.0 * math.log(1.0 + f_max / 700.0)
    step = (high - low) / (bins + 1)
    index = torch.arange(bins)
    left, centre, right = low + index * step, low + (index + 1.0) * step, low + (index + 2.0) * step
    mel = 1127.0 * (1.0 + sample_rate / fft_size * torch.arange(fft_size / 2) / 700.0).log()
    weights = _triangles(mel, left, centre, right)
    return torch.cat([weights, weights.new_zeros(1, bins)])


def kaldi_edges(bins: int, f_min: float, f_max: float) -> list[float]:
    """The bins + 2 corners of Kaldi's triangles in Hz: triangle k reaches from edge k to edge k + 2."""
    low, high = 1127.0 * math.log(1.0 + f_min / 700.0), 1127.0 * math.log(1.0 + f_max / 700.0)
    return [700.0 * (math.exp((low + i * (high - low) / (bins + 1)) / 1127.0) - 1.0) for i in range(bins + 2)]


def htk_mel_bank(bins: int, fft_size: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """HTK's mel scale, triangles linear in Hz, no area normalisation: (fft_size / 2 + 1, bins) float32."""
    limits = torch.tensor([f_min, f_max], dtype=torch.float64)
    low, high = (2595.0 * torch.log10(1.0 + limits / 700.0)).tolist()
    mel = torch.linspace(low, high, bins + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    frequency = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    return _triangles(frequency, edges[:-2], edges[1:-1], edges[2:]).float()


def _triangles(points: Tensor, left: Tensor, centre: Tensor, right: Tensor) -> Tensor:
    """Weights (points, triangles); triangle k rises from left[k] to 1 at centre[k] and falls to right[k]."""
    points = points.unsqueeze(1)
    up, down = (points - left) / (centre - left), (right - points) / (right - centre)
    return torch.minimum(up, down).clamp_min(0.0)
