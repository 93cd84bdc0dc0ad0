"""The one front end: batched log-mel spectrograms for training, scoring and prediction.

`kaldi` equals `torchaudio.compliance.kaldi.fbank` with the settings of the published AST (25 ms Hanning window,
10 ms shift, 128 bins, no dither, no energy, waveform mean removed; P, L), a batch at a time. `stft` is the front end
of the DCASE 2022 CRNN baseline (2048 window, hop 256, 128 bins, decibels of the magnitude).

Features are stored raw; `normalise` is applied where the model runs, then padding, so that padding is zero there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.features.mel import htk_mel_bank, kaldi_mel_bank
from sed.features.params import completed, difference

# AudioSet's statistics, as the AST release gives them (L).
AUDIOSET_MEAN = -4.2677393
AUDIOSET_STD = 4.5689974
PREEMPHASIS = 0.97
_EPS = torch.finfo(torch.float32).eps


OPTIONS = {
    "front_end": {
        "default": "kaldi",
        "help": "log-mel of the AST (kaldi) or of the CRNN baseline",
        "choices": ["kaldi", "stft"],
    },
    "sample_rate": {"default": 16000, "help": "Hz", "least": 1000},
    "frame_length": {"default": 0.025, "help": "analysis window, seconds", "least": 0.001},
    "frame_shift": {"default": 0.01, "help": "seconds between frames", "least": 0.001},
    "mel_bins": {"default": 128, "help": "mel filters", "least": 4},
    "f_min": {"default": 20.0, "help": "lowest frequency, Hz", "least": 0},
    "f_max": {"default": 8000.0, "help": "highest frequency, Hz", "least": 1},
    "clip_seconds": {"default": 10.0, "help": "longest clip of a dump, seconds; longer ones are cut", "least": 0.1},
    "normaliser": {
        "default": "fixed",
        "help": "by norm_mean and norm_std, or each clip to 0..1",
        "choices": ["fixed", "minmax"],
    },
    "norm_mean": {"default": AUDIOSET_MEAN, "help": "(x - norm_mean) / (2 norm_std)"},
    "norm_std": {"default": AUDIOSET_STD, "help": "(x - norm_mean) / (2 norm_std)", "least": 1e-6},
}


class FrontEnd(nn.Module):
    """Waveforms to log-mel frames, and log-mel frames to a model's input. No trainable parts.

    Raises ValueError for settings that make no filter bank.
    """

    window: Tensor
    bank: Tensor
    KEYS = (
        "front_end",
        "sample_rate",
        "frame_length",
        "frame_shift",
        "mel_bins",
        "f_min",
        "f_max",
        "clip_seconds",
        "normaliser",
        "norm_mean",
        "norm_std",
    )

    def __init__(
        self,
        *,
        front_end: str = "kaldi",
        sample_rate: int = 16000,
        frame_length: float = 0.025,
        frame_shift: float = 0.01,
        mel_bins: int = 128,
        f_min: float = 20.0,
        f_max: float = 8000.0,
        clip_seconds: float = 10.0,
        normaliser: str = "fixed",
        norm_mean: float = AUDIOSET_MEAN,
        norm_std: float = AUDIOSET_STD,
    ) -> None:
        super().__init__()
        if front_end not in ("kaldi", "stft") or normaliser not in ("fixed", "minmax"):
            raise ValueError(f"front_end '{front_end}' with normaliser '{normaliser}' is not known")
        if not 0 <= f_min < f_max <= sample_rate / 2:
            raise ValueError(f"f_min {f_min} and f_max {f_max} are not within 0 and half of sample_rate {sample_rate}")
        self.front_end = front_end
        self.sample_rate = int(sample_rate)
        self.frame_length = float(frame_length)
        self.frame_shift = float(frame_shift)
        self.mel_bins = int(mel_bins)
        self.f_min = float(f_min)
        self.f_max = float(f_max)
        self.clip_seconds = float(clip_seconds)
        self.normaliser = normaliser
        self.norm_mean = float(norm_mean)
        self.norm_std = float(norm_std)

        self.window_samples = round(self.frame_length * self.sample_rate)
        self.shift_samples = round(self.frame_shift * self.sample_rate)
        if self.window_samples < 2 or self.shift_samples < 1:
            raise ValueError(f"frame_length {frame_length} or frame_shift {frame_shift} is under a sample")
        if self.front_end == "kaldi":
            self.fft_size = 1 << (self.window_samples - 1).bit_length()
            window = torch.hann_window(self.window_samples, periodic=False)
            bank = kaldi_mel_bank(self.mel_bins, self.fft_size, self.sample_rate, self.f_min, self.f_max)
        else:
            self.fft_size = self.window_samples
            window = torch.hamming_window(self.window_samples, periodic=False)
            bank = htk_mel_bank(self.mel_bins, self.fft_size, self.sample_rate, self.f_min, self.f_max)
        self.register_buffer("window", window, persistent=False)
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
        return {key: getattr(self, key) for key in self.KEYS}

    def difference(self, found: Mapping[str, Any]) -> str | None:
        """Return how the front end with the parameters `found` differs from this one; see `params.difference`."""
        return difference(found, self.params())

    def num_frames(self, samples: int) -> int:
        """Frames that `samples` give: windows that fit whole (kaldi), or centred on every hop (stft)."""
        if samples < self.min_samples:
            return 0
        if self.front_end == "kaldi":
            return 1 + (samples - self.window_samples) // self.shift_samples
        return 1 + samples // self.shift_samples

    @property
    def min_samples(self) -> int:
        """The shortest waveform that has a frame; callers refuse shorter ones with their file's name."""
        # Centred windows reflect half a window at both ends.
        return self.window_samples if self.front_end == "kaldi" else self.window_samples // 2 + 1

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
        logmel = self._kaldi if self.front_end == "kaldi" else self._stft
        with torch.autocast(waveforms.device.type, enabled=False):
            waveforms = waveforms.float()
            if waveforms.is_cuda:
                return logmel(waveforms)
            # One clip's frames stay in a core's cache; a batch's do not (measured: 2.5 times slower).
            return torch.stack([logmel(waveform) for waveform in waveforms])

    def _kaldi(self, waveforms: Tensor) -> Tensor:
        # The order of operations is Kaldi's, so that rounding is too: near the floor, a quiet bin beside a loud tone
        # shows every last bit of what enters the FFT.
        waveforms = waveforms - waveforms.mean(-1, keepdim=True)
        frames = waveforms.unfold(-1, self.window_samples, self.shift_samples)
        frames = frames - frames.mean(-1, keepdim=True)
        padded = frames.new_zeros(*frames.shape[:-1], self.fft_size)
        # The first sample is its own predecessor, and the Hanning window is zero there: nothing to write at 0.
        inner = padded[..., 1 : self.window_samples]
        torch.sub(frames[..., 1:], frames[..., :-1] * PREEMPHASIS, out=inner)
        inner.mul_(self.window[1:])
        if padded.is_cuda:
            # Beside a full-scale tone, torchaudio's quiet bins are float32 rounding of its FFT (0.07 in the log);
            # another FFT library can only come near by rounding less. Exact under any TF32 setting, too.
            padded = padded.double()
        return self._mel(_power(torch.fft.rfft(padded))).clamp_min_(_EPS).log_()

    def _stft(self, waveforms: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveforms,
            self.fft_size,
            self.shift_samples,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        ).transpose(-1, -2)
        magnitude = self._mel(_power(spectrum).sqrt_())
        return magnitude.clamp_min_(1e-5).log10_().mul_(20.0).clamp_(-50.0, 80.0)

    def _mel(self, spectrum: Tensor) -> Tensor:
        if spectrum.is_cuda:
            return (spectrum.double() @ self.bank.double()).float()
        return torch.cat([spectrum[..., lo:hi] @ self.bank[lo:hi, a:b] for lo, hi, a, b in self._blocks], -1)

    def normalise(self, logmel: Tensor, valid: Tensor | None, input_frames: int) -> Tensor:
        """Raw log-mel (batch, frames, bins), any float type, to (batch, input_frames, bins) float32.

        Normalised, zero from each clip's `valid` frames on (batch,), cut or zero-padded to `input_frames`.
        """
        frames = min(logmel.shape[1], input_frames)
        x = logmel[:, :frames].float()
        inside = None
        if valid is not None:
            inside = (torch.arange(frames, device=x.device) < valid.to(x.device).unsqueeze(1)).unsqueeze(2)
        if self.normaliser == "fixed":
            x = (x - self.norm_mean) / (2 * self.norm_std)
        else:
            low = x if inside is None else x.masked_fill(~inside, math.inf)
            high = x if inside is None else x.masked_fill(~inside, -math.inf)
            low, high = low.amin((1, 2), keepdim=True), high.amax((1, 2), keepdim=True)
            x = (x - low) / (high - low + 1e-8)
        if inside is not None:
            x = x.masked_fill(~inside, 0.0)
        return nn.functional.pad(x, (0, 0, 0, input_frames - frames))


def _power(spectrum: Tensor) -> Tensor:
    """|X|^2 of a complex spectrum, whose memory it takes; without the square root that abs() would take first."""
    return torch.add(*torch.view_as_real(spectrum).square_().unbind(-1))


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
