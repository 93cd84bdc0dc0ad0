"""Kaldi's analysis: mean removal and pre-emphasis within each frame, after mean removal of the waveform."""

from __future__ import annotations

import torch
from torch import Tensor

PREEMPHASIS = 0.97  # Kaldi's default


class Kaldi:
    """`Analysis` of `torchaudio.compliance.kaldi.fbank` on waveforms without their mean, as the AST release calls it.

    The order of operations is Kaldi's, so that rounding errors are the same: a quiet bin next to a loud tone consists
    of the FFT's rounding errors, and changes with the last bit of its input.
    """

    def prepare(self, waveforms: Tensor, valid: Tensor | None = None) -> Tensor:
        if valid is None:
            return waveforms - waveforms.mean(-1, keepdim=True)
        return waveforms - waveforms.sum(-1, keepdim=True) / valid

    def condition(self, frames: Tensor, out: Tensor) -> Tensor:
        frames = frames - frames.mean(-1, keepdim=True)
        torch.sub(frames[..., 1:], frames[..., :-1] * PREEMPHASIS, out=out[..., 1:])
        first = frames[..., 0]  # Kaldi uses the first sample as its own predecessor
        out[..., 0] = first - first * PREEMPHASIS
        return out

    def traced(self, frames: Tensor) -> Tensor:
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        return frames - before * PREEMPHASIS
