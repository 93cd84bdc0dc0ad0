"""The one front end: batched log-mel spectrograms for training, scoring and prediction.

Waveform -> level (`wave_norm`) -> frames (`framing`) -> power spectrum of windows -> mel bank -> logarithm: raw
log-mel, as it is stored. Where a model runs, it is normalised and padded (`padding`). `front_end` names the kind of
analysis, and what the options that say `auto` mean: `kaldi` equals `torchaudio.compliance.kaldi.fbank` with the
settings of the published AST (25 ms Hanning window, 10 ms shift, 128 bins, no dither, no energy, waveform mean
removed; P, L), a batch at a time; `stft` is the front end of the DCASE 2022 CRNN baseline (2048 window, hop 256, 128
bins, decibels of the magnitude). A new kind is a module with a class that keeps to `sed.features.analysis.Analysis`,
a line of `FRONT_ENDS`, and its presets (`params.PRESETS`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.features import units
from sed.features.analysis import Analysis, spectrum
from sed.features.framing import Framing
from sed.features.logarithm import logarithm
from sed.features.mel import mel_bank
from sed.features.padding import PADDINGS, normalised
from sed.features.params import completed, defaults, difference, resolved
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
WINDOWS = {
    "auto": "",
    "hann": "sed.features.analysis_windows:hann",
    "hamming": "sed.features.analysis_windows:hamming",
    "blackman": "sed.features.analysis_windows:blackman",
    "povey": "sed.features.analysis_windows:povey",
    "rectangular": "sed.features.analysis_windows:rectangular",
}
NORMALISERS = {
    "none": "sed.features.normalisers:Unchanged",
    "fixed": "sed.features.normalisers:Fixed",
    "minmax": "sed.features.normalisers:MinMax",
    "minmax_bins": "sed.features.normalisers:MinMaxOfBins",
    "bins": "sed.features.normalisers:Bins",
}
OPTIONS = {
    "front_end": {
        "default": "kaldi",
        "help": "log-mel of the AST (kaldi) or of the CRNN baseline (stft), which options that say auto, or 0, follow",
        "choices": FRONT_ENDS,
    },
    "sample_rate": {"default": 16000, "help": "Hz", "least": 1000},
    "wave_norm": {
        "default": "none",
        "help": "level of waveforms: as it is, or each clip by its peak (F, L), its mean removed before (centred_peak)",
        "choices": WAVE_NORMS,
    },
    "wave_scale": {"default": 1.0, "help": "what waveforms in [-1, 1] are multiplied by, too", "least": 1e-6},
    "frame_length": {"default": 0.025, "help": "analysis window, seconds", "least": 0.001},
    "frame_shift": {"default": 0.01, "help": "seconds between frames", "least": 0.001},
    "window": {"default": "auto", "help": "analysis window (kaldi: hann, stft: hamming)", "choices": WINDOWS},
    "window_ends": {
        "default": "auto",
        "help": "whether its ends are equal (kaldi, stft: symmetric)",
        "choices": ["auto", "symmetric", "periodic"],
    },
    "fft_size": {
        "default": 0,
        "help": "samples of the transform (kaldi: the next power of two, stft: the window's)",
        "least": 0,
    },
    "centring": {
        "default": "auto",
        "help": "frames that fit whole (none: kaldi), centred on every shift and mirrored at the ends (reflect: stft), "
        "or each shift in a window's middle, zeros at the ends (fade)",
        "choices": ["auto", "none", "reflect", "fade"],
    },
    "mel_bins": {"default": 128, "help": "mel filters", "least": 4},
    "f_min": {"default": 20.0, "help": "lowest frequency, Hz", "least": 0},
    "f_max": {"default": 8000.0, "help": "highest frequency, Hz", "least": 1},
    "mel_scale": {
        "default": "auto",
        "help": "where filters lie: kaldi's are linear in mel (kaldi: kaldi, stft: htk)",
        "choices": ["auto", "htk", "slaney", "kaldi"],
    },
    "mel_norm": {
        "default": "peak",
        "help": "height of filters: 1, Slaney's of one area, or of a sum of 1",
        "choices": ["peak", "area", "sum"],
    },
    "power": {
        "default": 0,
        "help": "what filters sum: 1 the magnitude (stft), 2 the power (kaldi)",
        "choices": [0, 1, 2],
    },
    "log": {"default": "auto", "help": "natural logarithm (kaldi) or decibels (stft)", "choices": ["auto", "ln", "db"]},
    "log_floor": {
        "default": 0.0,
        "help": "least value that a logarithm is taken of (kaldi: 2^-23, stft: 0.00001)",
        "least": 0,
    },
    "log_floor_by": {
        "default": "max",
        "help": "whether lower values are raised to the floor, or it is added to all",
        "choices": ["max", "add"],
    },
    "top_db": {"default": 0.0, "help": "most that a clip's values are under its greatest; 0: any", "least": 0},
    "clamp": {
        "default": "auto",
        "help": "least and greatest value of features, `-50,80`, or none (kaldi: none, stft: -50,80)",
    },
    "clip_seconds": {"default": 10.0, "help": "longest clip of a dump, seconds; longer ones are cut", "least": 0.1},
    "normaliser": {
        "default": "fixed",
        "help": "none; by norm_mean and norm_std; each clip, or bin of a clip, to 0..1; each bin by the training sets' "
        "mean and deviation",
        "choices": NORMALISERS,
    },
    "norm_mean": {"default": AUDIOSET_MEAN, "help": "fixed: (x - norm_mean) / (2 norm_std)"},
    "norm_std": {"default": AUDIOSET_STD, "help": "fixed: (x - norm_mean) / (2 norm_std)", "least": 1e-6},
    "norm_bins": {
        "default": "",
        "help": "bins: the means of all bins, then their deviations, comma-separated; '': the training sets'",
    },
    "norm_over": {
        "default": "clips",
        "help": "bins: the mean over clips of each one's mean and deviation, or those of all frames",
        "choices": ["clips", "frames"],
    },
    "norm_clamp": {"default": 0.0, "help": "greatest size of a normalised value; 0: any", "least": 0},
}


class FrontEnd(nn.Module):
    """Waveforms to log-mel frames, and log-mel frames to a model's input. No trainable parts.

    Settings are the options of the same names; those that are not given have the options' defaults. Raises ValueError
    for settings that make no filter bank.
    """

    KEYS = tuple(defaults())

    front_end: str
    sample_rate: int
    wave_norm: str
    wave_scale: float
    frame_length: float
    frame_shift: float
    window: str
    window_ends: str
    fft_size: int
    centring: str
    mel_bins: int
    f_min: float
    f_max: float
    mel_scale: str
    mel_norm: str
    power: int
    log: str
    log_floor: float
    log_floor_by: str
    top_db: float
    clamp: str
    clip_seconds: float
    normaliser: str
    norm_mean: float
    norm_std: float
    norm_bins: str
    norm_over: str
    norm_clamp: float
    taper: Tensor
    bank: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        if unknown := settings.keys() - {*self.KEYS}:
            raise TypeError(f"FrontEnd has no setting {sorted(unknown)[0]}")
        given = {key: type(default)(settings.get(key, default)) for key, default in defaults().items()}
        self.settings: Mapping[str, Any] = resolved(given)
        for key, value in self.settings.items():
            setattr(self, key, value)
        rate, f_min, f_max = self.sample_rate, self.f_min, self.f_max
        if not 0 <= f_min < f_max <= rate / 2:
            raise ValueError(f"f_min {f_min} and f_max {f_max} are not within 0 and half of sample_rate {rate}")
        self.analysis: Analysis = chosen(FRONT_ENDS, self.front_end, "front_end")()
        self.framing = Framing.of(self.settings)
        self.level = chosen(WAVE_NORMS, self.wave_norm, "wave_norm")
        self.decibel, self.silence = units.decibel(self.settings), units.silence(self.settings)
        self._normaliser = chosen(NORMALISERS, self.normaliser, "normaliser")(self.settings)
        taper, bank = chosen(WINDOWS, self.window, "window"), mel_bank(self.settings)
        periodic = self.window_ends == "periodic"
        self.register_buffer("taper", taper(self.framing.window, periodic=periodic), persistent=False)
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
        return dict(self.settings)

    def difference(self, found: Mapping[str, Any]) -> str | None:
        """Return how the front end with the parameters `found` differs from this one; see `params.difference`."""
        return difference(found, self.params())

    def num_frames(self, samples: int) -> int:
        """Return the frames that `samples` give; 0 for fewer than `min_samples`."""
        return 0 if samples < self.min_samples else self.framing.num_frames(samples)

    @property
    def min_samples(self) -> int:
        """The shortest waveform that has a frame; callers refuse shorter ones with their file's name."""
        return self.framing.min_samples

    @property
    def window_samples(self) -> int:
        """Samples of a window."""
        return self.framing.window

    @property
    def wants_statistics(self) -> bool:
        """Whether it has to be given those of the training sets before it can normalise."""
        return self.normaliser == "bins" and not self.norm_bins

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
            waveforms = self.prepare(waveforms.float())
            if waveforms.is_cuda:
                return self._logmel(waveforms)
            # One clip's frames stay in a core's cache; a batch's do not (measured: 2.5 times slower).
            return torch.stack([self._logmel(waveform) for waveform in waveforms])

    def prepare(self, waveforms: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return waveforms as they are framed; arguments as those of `Analysis.prepare`."""
        waveforms = self.level(waveforms, valid)
        if self.wave_scale != 1:
            waveforms = waveforms * self.wave_scale
        return self.analysis.prepare(waveforms, valid)

    def _logmel(self, waveforms: Tensor) -> Tensor:
        found = spectrum(self.analysis, self.framing.frames(waveforms), self.taper, self.fft_size)
        return logarithm(self._mel(found if self.power == 2 else found.sqrt_()), self.settings)

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
            normaliser=self._normalised,
        )

    def _normalised(self, x: Tensor, inside: Tensor | None) -> Tensor:
        x = self._normaliser(x, inside)
        return x.clamp(-self.norm_clamp, self.norm_clamp) if self.norm_clamp else x


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
