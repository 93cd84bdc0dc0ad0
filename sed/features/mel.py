"""Mel filter banks: triangles that are linear in mel (Kaldi) or in Hz, and their normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

SLANEY_LINEAR = 1000.0  # Hz; below it, the scale is linear with 3 mels per 200 Hz
SLANEY_STEP = math.log(6.4) / 27  # natural logarithm of frequency per mel above it: 27 mels from 1 to 6.4 kHz


def mel_bank(settings: Mapping[str, Any]) -> Tensor:
    """Return the bank (fft_size // 2 + 1, mel_bins) float32 of a front end's resolved settings."""
    mel_scale, bins, f_min, f_max = (settings[key] for key in ("mel_scale", "mel_bins", "f_min", "f_max"))
    sizes = bins, settings["fft_size"], settings["sample_rate"], f_min, f_max
    bank = kaldi_mel_bank(*sizes) if mel_scale == "kaldi" else frequency_mel_bank(mel_scale, *sizes)
    if settings["mel_norm"] == "area":
        edges = torch.tensor(mel_edges(mel_scale, bins, f_min, f_max), dtype=torch.float64)
        bank = (bank.double() * (2 / (edges[2:] - edges[:-2]))).float()
    elif settings["mel_norm"] == "sum":
        bank = bank / bank.sum(0).clamp_min(torch.finfo(torch.float32).tiny)  # a filter between two FFT bins is empty
    return bank


def kaldi_mel_bank(bins: int, fft_size: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """Compute Kaldi's mel bank, of triangles that are linear in mel.

    As in torchaudio, low filters may be empty if the mel step is narrower than an FFT bin (Kaldi itself refuses). As
    there, scalars are float64 and tensors float32: where an FFT bin is very close to the end of a triangle, its weight
    consists of rounding error, which shows in a quiet filter next to a loud tone (0.09 in the log); rounding has to be
    that of the AST's training features.

    Args:
        bins: number of filters.
        fft_size: length of the FFT in samples.
        sample_rate: Hz.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.

    Returns:
        (fft_size // 2 + 1, bins) float32; the weights of the Nyquist bin, which an odd size does not have, are 0.
    """
    low, high = 1127.0 * math.log(1.0 + f_min / 700.0), 1127.0 * math.log(1.0 + f_max / 700.0)
    step = (high - low) / (bins + 1)
    index = torch.arange(bins)
    left, centre, right = low + index * step, low + (index + 1.0) * step, low + (index + 2.0) * step
    mel = 1127.0 * (1.0 + sample_rate / fft_size * torch.arange((fft_size + 1) // 2) / 700.0).log()
    weights = _triangles(mel, left, centre, right)
    return weights if fft_size % 2 else torch.cat([weights, weights.new_zeros(1, bins)])


def frequency_mel_bank(
    mel_scale: str, bins: int, fft_size: int, sample_rate: int, f_min: float, f_max: float
) -> Tensor:
    """Compute a mel bank of triangles that are linear in Hz, evenly spaced on a mel scale.

    Args:
        mel_scale: htk or slaney (for kaldi, `mel_bank` calls `kaldi_mel_bank`).
        bins: number of filters.
        fft_size: length of the FFT in samples.
        sample_rate: Hz.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.

    Returns:
        (fft_size // 2 + 1, bins) float32, of height 1.
    """
    edges = torch.tensor(mel_edges(mel_scale, bins, f_min, f_max), dtype=torch.float64)
    highest = fft_size // 2 * sample_rate / fft_size  # half of the rate if the size is even
    frequency = torch.linspace(0, highest, fft_size // 2 + 1, dtype=torch.float64)
    return _triangles(frequency, edges[:-2], edges[1:-1], edges[2:]).float()


def mel_edges(mel_scale: str, bins: int, f_min: float, f_max: float) -> list[float]:
    """Compute the edges of the triangles of a mel bank.

    Args:
        mel_scale: htk, slaney or kaldi.
        bins: number of filters.
        f_min: first edge, Hz.
        f_max: last edge, Hz.

    Returns:
        bins + 2 frequencies in Hz; triangle k extends from edge k to edge k + 2.
    """
    to_mel, to_hertz = _CONVERSIONS[mel_scale]
    low, high = to_mel(f_min), to_mel(f_max)
    return [to_hertz(low + i * (high - low) / (bins + 1)) for i in range(bins + 2)]


def _slaney_mel(hertz: float) -> float:
    if hertz < SLANEY_LINEAR:
        return 3 * hertz / 200
    return 3 * SLANEY_LINEAR / 200 + math.log(hertz / SLANEY_LINEAR) / SLANEY_STEP


def _slaney_hertz(mel: float) -> float:
    if mel < 3 * SLANEY_LINEAR / 200:
        return 200 * mel / 3
    return SLANEY_LINEAR * math.exp(SLANEY_STEP * (mel - 3 * SLANEY_LINEAR / 200))


# Formulas of HTK, of Kaldi (the same scale up to rounding, by natural logarithm) and of Slaney's Auditory Toolbox.
_CONVERSIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "htk": (lambda hertz: 2595 * math.log10(1 + hertz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
    "kaldi": (lambda hertz: 1127 * math.log(1 + hertz / 700), lambda mel: 700 * (math.exp(mel / 1127) - 1)),
    "slaney": (_slaney_mel, _slaney_hertz),
}


def _triangles(points: Tensor, left: Tensor, centre: Tensor, right: Tensor) -> Tensor:
    """Return weights (points, triangles): triangle k rises from left[k] to 1 at centre[k] and falls to right[k]."""
    points = points.unsqueeze(1)
    up, down = (points - left) / (centre - left), (right - points) / (right - centre)
    return torch.minimum(up, down).clamp_min(0.0)
