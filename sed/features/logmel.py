"""The one front end: batched log-mel spectrograms for training, scoring and prediction.

`kaldi` equals `torchaudio.compliance.kaldi.fbank` with the settings of the published AST (25 ms Hanning window,
10 ms shift, 128 bins, no dither, no energy, waveform mean removed; P, L), a batch at a time. `stft` is the front end
of the DCASE 2022 CRNN baseline (2048 window, hop 256, 128 bins, decibels of the magnitude). A new kind is a module with
a class that keeps to `sed.features.analysis.Analysis` (and with `OPTIONS`, if it has any) and a line of `FRONT_ENDS`.

Features are stored raw; they are normalised and padded (`sed.features.padding`) where the model runs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.features.analysis import Analysis
from sed.features.padding import PADDINGS, normalised
from sed.features.params import completed, defaults, difference
from sed.registry import chosen

# AudioSet's statistics, as the AST release gives them (L).
AUDIOSET_MEAN = -4.2677393
AUDIOSET_STD = 4.5689974

FRONT_ENDS = {"kaldi": "sed.features.kaldi:Kaldi", "stft": "sed.features.stft:Stft"}
WAVE_NORMS = {
    "none": "sed.features.wave_norms:none",
    "peak": "sed.features.wave_norms:peak",
    "centred_peak": "sed.features.wave_norms:centred_peak",
}
NORMALISERS = {"fixed": "sed.features.normalisers:fixed", "minmax": "sed.features.normalisers:minmax"}
OPTIONS = {
    "front_end": {
        "default": "kaldi",
        "help": "log-mel of the AST (kaldi) or of the CRNN baseline",
        "choices": FRONT_ENDS,
    },
    "sample_rate": {"default": 16000, "help": "Hz", "least": 1000},
    "wave_norm": {
        "default": "none",
        "help": "level of waveforms: as it is, or each clip by its peak (F, L), its mean removed before (centred_peak)",
        "choices": WAVE_NORMS,
    },
    "frame_length": {"default": 0.025, "help": "analysis window, seconds", "least": 0.001},
    "frame_shift": {"default": 0.01, "help": "seconds between frames", "least": 0.001},
    "mel_bins": {"default": 128, "help": "mel filters", "least": 4},
    "f_min": {"default": 20.0, "help": "lowest frequency, Hz", "least": 0},
    "f_max": {"default": 8000.0, "help": "highest frequency, Hz", "least": 1},
    "clip_seconds": {"default": 10.0, "help": "longest clip of a dump, seconds; longer ones are cut", "least": 0.1},
    "normaliser": {
        "default": "fixed",
        "help": "by norm_mean and norm_std, or each clip to 0..1",
        "choices": NORMALISERS,
    },
    "norm_mean": {"default": AUDIOSET_MEAN, "help": "(x - norm_mean) / (2 norm_std)"},
    "norm_std": {"default": AUDIOSET_STD, "help": "(x - norm_mean) / (2 norm_std)", "least": 1e-6},
}
OPTIONS_FROM = FRONT_ENDS


class FrontEnd(nn.Module):
    """Waveforms to log-mel frames, and log-mel frames to a model's input. No trainable parts.

    Settings are the options of the same names; those that are not given have the options' defaults. Raises ValueError
    for settings that make no filter bank.
    """

    KEYS = tuple(defaults())

    front_end: str
    sample_rate: int
    wave_norm: str
    frame_length: float
    frame_shift: float
    mel_bins: int
    f_min: float
    f_max: float
    clip_seconds: float
    normaliser: str
    norm_mean: float
    norm_std: float
    window: Tensor
    bank: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        if unknown := settings.keys() - {*self.KEYS}:
            raise TypeError(f"FrontEnd has no setting {sorted(unknown)[0]}")
        self._settings = {key: type(default)(settings.get(key, default)) for key, default in defaults().items()}
        for key, value in self._settings.items():
            setattr(self, key, value)
        rate, f_min, f_max = self.sample_rate, self._settings["f_min"], self._settings["f_max"]
        if not 0 <= f_min < f_max <= rate / 2:
            raise ValueError(f"f_min {f_min} and f_max {f_max} are not within 0 and half of sample_rate {rate}")
        self.window_samples = round(self.frame_length * rate)
        self.shift_samples = round(self.frame_shift * rate)
        if self.window_samples < 2 or self.shift_samples < 1:
            raise ValueError(f"frame_length {self.frame_length} or frame_shift {self.frame_shift} is under a sample")
        kind = chosen(FRONT_ENDS, self.front_end, "front_end")
        self._analysis: Analysis = kind(self._settings, self.window_samples, self.shift_samples)
        self.level = chosen(WAVE_NORMS, self.wave_norm, "wave_norm")
        self._normalised = chosen(NORMALISERS, self.normaliser, "normaliser")
        bank = self._analysis.bank()
        self.register_buffer("window", self._analysis.window(), persistent=False)
        self.register_buffer("bank", bank, persistent=False)
        self._blocks = _blocks_of(bank)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FrontEnd:
        """Build from a flat config, whose other keys are left alone; UserError for settings that make none."""
        try:
            return cls(**{key: config[key] for key in cls.KEYS if key in config})
        except ValueError as error:
            raise UserError(f"{error} (change the config)") from None

    @classmethod
    def from_params(cls, stored: Mapping[str, Any]) -> FrontEnd:
        """Build from the `params` that this or an earlier version stored; UserError as `from_config`."""
        return cls.from_config(completed(stored))

    def params(self) -> dict[str, Any]:
        """What dumps and checkpoints store."""
        return dict(self._settings)

    def difference(self, found: Mapping[str, Any]) -> str | None:
        """Return how the front end with the parameters `found` differs from this one; see `params.difference`."""
        return difference(found, self.params())

    def num_frames(self, samples: int) -> int:
        """Frames that `samples` give: windows that fit whole (kaldi), or centred on every hop (stft)."""
        return 0 if samples < self.min_samples else self._analysis.num_frames(samples)

    @property
    def min_samples(self) -> int:
        """The shortest waveform that has a frame; callers refuse shorter ones with their file's name."""
        return self._analysis.min_samples

    @property
    def fft_size(self) -> int:
        """Samples of the Fourier transform of a window."""
        return self._analysis.fft_size

    @property
    def decibel(self) -> float:
        """One decibel in the units of raw features."""
        return self._analysis.decibel

    @property
    def silence(self) -> float:
        """Raw features of silence."""
        return self._analysis.silence

    @property
    def clip_samples(self) -> int:
        return round(self.clip_seconds * self.sample_rate)

    @property
    def clip_frames(self) -> int:
        """Frames of a whole clip: the length of a dump's rows (998 for 10 s)."""
        return self.num_frames(self.clip_samples)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) float32 in [-1, 1] to raw log-mel (batch, frames, mel_bins) float32."""
        if waveforms.shape[-1] < self.min_samples:
            raise ValueError(f"{waveforms.shape[-1]} samples are shorter than a window of {self.window_samples}")
        with torch.autocast(waveforms.device.type, enabled=False):
            waveforms = self.level(waveforms.float())
            if waveforms.is_cuda:
                return self._logmel(waveforms)
            # One clip's frames stay in a core's cache; a batch's do not (measured: 2.5 times slower).
            return torch.stack([self._logmel(waveform) for waveform in waveforms])

    def _logmel(self, waveforms: Tensor) -> Tensor:
        return self._analysis.logarithm(self._mel(self._analysis.spectrum(waveforms, self.window)))

    def _mel(self, spectrum: Tensor) -> Tensor:
        if spectrum.is_cuda:
            return (spectrum.double() @ self.bank.double()).float()
        return torch.cat([spectrum[..., lo:hi] @ self.bank[lo:hi, a:b] for lo, hi, a, b in self._blocks], -1)

    def normalise(self, logmel: Tensor, valid: Tensor | None, input_frames: int, padding: str) -> Tensor:
        """Return a model's input of raw log-mel.

        Args:
            logmel: (batch, frames, bins), any float type.
            valid: each clip's frames (batch,), what comes after them is padding; None: all.
            input_frames: the model's; clips are cut or padded to them.
            padding: the model's, a name of `sed.features.padding.PADDINGS`.

        Returns:
            (batch, input_frames, bins) float32.
        """
        return normalised(
            logmel[:, :input_frames].float(),
            valid,
            input_frames,
            PADDINGS[padding],
            silence=self.silence,
            normaliser=lambda x, inside: self._normalised(x, inside, self._settings),
        )


def _blocks_of(bank: Tensor) -> list[tuple[int, int, int, int]]:
    """Cut a mel bank (fft bins, mel bins) into dense blocks (bin from, to, mel from, to) that hold all its weights.

    A mel filter touches few FFT bins: eight blocks are a quarter of the multiplications
    (measured: a third of the time).
    """
    used = bank > 0
    index = torch.arange(bank.shape[0]).unsqueeze(1)
    first = torch.where(used, index, bank.shape[0] - 1).amin(0)
    last = torch.where(used, index + 1, 1).amax(0)
    width = max(1, math.ceil(bank.shape[1] / 8))
    cuts = [*range(0, bank.shape[1], width), bank.shape[1]]
    return [(int(first[a:b].min()), int(last[a:b].max()), a, b) for a, b in itertools.pairwise(cuts)]
