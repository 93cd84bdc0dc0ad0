"""The front end of the DCASE 2022 CRNN baseline: centred windows, decibels of the magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sed.features.analysis import power
from sed.features.mel import htk_mel_bank

FLOOR, CEILING = -50.0, 80.0  # decibels


class Stft:
    """Magnitudes of centred Hamming windows through an HTK mel bank, in decibels; see `Analysis`."""

    decibel = 1.0
    silence = FLOOR

    def __init__(self, settings: Mapping[str, Any], window_samples: int, shift_samples: int) -> None:
        self._settings, self._length, self._shift = settings, window_samples, shift_samples
        self.fft_size = window_samples
        self.min_samples = window_samples // 2 + 1  # centred windows reflect half a window at both ends

    def window(self) -> Tensor:
        return torch.hamming_window(self._length, periodic=False)

    def bank(self) -> Tensor:
        s = self._settings
        return htk_mel_bank(s["mel_bins"], self.fft_size, s["sample_rate"], s["f_min"], s["f_max"])

    def num_frames(self, samples: int) -> int:
        return 1 + samples // self._shift

    def spectrum(self, waveforms: Tensor, window: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveforms,
            self.fft_size,
            self._shift,
            window=window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        ).transpose(-1, -2)
        return power(spectrum).sqrt_()

    def logarithm(self, mel: Tensor) -> Tensor:
        return mel.clamp_min_(1e-5).log10_().mul_(20.0).clamp_(FLOOR, CEILING)
