"""Analysis windows by name, (length,) float32, each symmetric or periodic.

A symmetric window has equal ends; a periodic one is the symmetric window of length + 1 without its last sample. In the
formulas, x goes from 0 to 2 pi over the symmetric window.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hann(length: int, *, periodic: bool) -> Tensor:
    """Return 0.5 - 0.5 cos(x); Kaldi's "hanning" is the symmetric one."""
    return torch.hann_window(length, periodic=periodic)


def hamming(length: int, *, periodic: bool) -> Tensor:
    """Return 0.54 - 0.46 cos(x)."""
    return torch.hamming_window(length, periodic=periodic)


def blackman(length: int, *, periodic: bool) -> Tensor:
    """Return 0.42 - 0.5 cos(x) + 0.08 cos(2x)."""
    return torch.blackman_window(length, periodic=periodic)


def povey(length: int, *, periodic: bool) -> Tensor:
    """Return Kaldi's default window, a Hann window to the power of 0.85."""
    return torch.hann_window(length, periodic=periodic).pow(0.85)


def rectangular(length: int, *, periodic: bool) -> Tensor:  # noqa: ARG001 (one signature for all)
    """Return ones."""
    return torch.ones(length)
