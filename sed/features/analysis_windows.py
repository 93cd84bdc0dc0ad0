"""Analysis windows by name, each symmetric (equal ends) or periodic (one sample longer, without the last)."""

from __future__ import annotations

import torch
from torch import Tensor


def hann(length: int, *, periodic: bool) -> Tensor:
    """Return a raised cosine with ends at 0; Kaldi's "hanning" is the symmetric one."""
    return torch.hann_window(length, periodic=periodic)


def hamming(length: int, *, periodic: bool) -> Tensor:
    """Return 0.54 - 0.46 cos."""
    return torch.hamming_window(length, periodic=periodic)


def blackman(length: int, *, periodic: bool) -> Tensor:
    """Return 0.42 - 0.5 cos + 0.08 cos of twice the angle."""
    return torch.blackman_window(length, periodic=periodic)


def povey(length: int, *, periodic: bool) -> Tensor:
    """Return Kaldi's default window, a Hann window to the power of 0.85."""
    return torch.hann_window(length, periodic=periodic).pow(0.85)


def rectangular(length: int, *, periodic: bool) -> Tensor:  # noqa: ARG001 (alike)
    """Return ones."""
    return torch.ones(length)
