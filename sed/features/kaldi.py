"""Kaldi's analysis: the means of the waveform and of each frame removed, and pre-emphasis within the frame."""

from __future__ import annotations

import torch
from torch import Tensor

PREEMPHASIS = 0.97


class Kaldi:
    """As `torchaudio.compliance.kaldi.fbank`; see `Analysis`.

    The order of operations is Kaldi's, so that rounding is too: near the floor, a quiet bin beside a loud tone shows
    every last bit of what enters the FFT.
    """

    def prepare(self, waveforms: Tensor, valid: Tensor | None = None) -> Tensor:
        if valid is None:
            return waveforms - waveforms.mean(-1, keepdim=True)
        return waveforms - waveforms.sum(-1, keepdim=True) / valid

    def condition(self, frames: Tensor, out: Tensor) -> Tensor:
        frames = frames - frames.mean(-1, keepdim=True)
        torch.sub(frames[..., 1:], frames[..., :-1] * PREEMPHASIS, out=out[..., 1:])
        first = frames[..., 0]  # its own predecessor
        out[..., 0] = first - first * PREEMPHASIS
        return out

    def traced(self, frames: Tensor) -> Tensor:
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        return frames - before * PREEMPHASIS
