"""Kaldi's log-mel filter bank: windows that fit whole, natural logarithm of power."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sed.features.analysis import power
from sed.features.mel import kaldi_mel_bank

PREEMPHASIS = 0.97
EPS = torch.finfo(torch.float32).eps


class Kaldi:
    """`torchaudio.compliance.kaldi.fbank` with the settings of the published AST; see `Analysis`."""

    decibel = math.log(10) / 10
    silence = math.log(EPS)

    def __init__(self, settings: Mapping[str, Any], window_samples: int, shift_samples: int) -> None:
        self._settings, self._length, self._shift = settings, window_samples, shift_samples
        self.fft_size = 1 << (window_samples - 1).bit_length()
        self.min_samples = window_samples

    def window(self) -> Tensor:
        return torch.hann_window(self._length, periodic=False)

    def bank(self) -> Tensor:
        s = self._settings
        return kaldi_mel_bank(s["mel_bins"], self.fft_size, s["sample_rate"], s["f_min"], s["f_max"])

    def num_frames(self, samples: int) -> int:
        return 1 + (samples - self._length) // self._shift

    def spectrum(self, waveforms: Tensor, window: Tensor) -> Tensor:
        # The order of operations is Kaldi's, so that rounding is too: near the floor, a quiet bin beside a loud tone
        # shows every last bit of what enters the FFT.
        waveforms = waveforms - waveforms.mean(-1, keepdim=True)
        frames = waveforms.unfold(-1, self._length, self._shift)
        frames = frames - frames.mean(-1, keepdim=True)
        padded = frames.new_zeros(*frames.shape[:-1], self.fft_size)
        # The first sample is its own predecessor, and the Hanning window is zero there: nothing to write at 0.
        inner = padded[..., 1 : self._length]
        torch.sub(frames[..., 1:], frames[..., :-1] * PREEMPHASIS, out=inner)
        inner.mul_(window[1:])
        if padded.is_cuda:
            # Beside a full-scale tone, torchaudio's quiet bins are float32 rounding of its FFT (0.07 in the log);
            # another FFT library can only come near by rounding less. Exact under any TF32 setting, too.
            padded = padded.double()
        return power(torch.fft.rfft(padded))

    def logarithm(self, mel: Tensor) -> Tensor:
        return mel.clamp_min_(EPS).log_()
