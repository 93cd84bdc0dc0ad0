"""Front end of all commands: batched log-mel spectrograms for training, scoring and prediction.

Waveform -> level (`wave_norm`) -> frames (`framing`) -> power spectrum -> mel bank -> logarithm: these are the raw
log-mel features that dumps store. They are normalised and padded (`padding`) when a model runs. `front_end` names the
kind of analysis, and the preset for options that are `auto` (`fft_size`, `power`, `log_floor`: 0): `kaldi` is a batched
equivalent of `torchaudio.compliance.kaldi.fbank` with the settings of the published AST (25 ms Hanning window, 10 ms
shift, 128 bins, no dither, no energy, waveform mean removed; P, L); `stft`, with conf/logmel_crnn.yaml, is the front
end of the DCASE 2022 CRNN baseline (window of 2048 samples, shift of 256, 128 bins, decibels of the magnitude). Letters
in parentheses are sources (egs/desed/README.md). A new kind is a module with a class that implements
`sed.features.analysis.Analysis`, a line of `FRONT_ENDS`, and its preset (`params.PRESETS`).
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

# Mean and standard deviation of raw log-mel on AudioSet, from the AST release (L).
AUDIOSET_MEAN = -4.2677393
AUDIOSET_STD = 4.5689974
MOST_WEIGHTS = 1 << 27
"""largest number of weights of a mel bank (512 MiB); the published front ends have 16,000 to 131,000"""

FRONT_ENDS = {"kaldi": "sed.features.kaldi:Kaldi", "stft": "sed.features.stft:Stft"}
WAVE_NORMS = {
    "none": "sed.features.wave_norms:none",
    "peak": "sed.features.wave_norms:peak",
    "centred_peak": "sed.features.wave_norms:centred_peak",
}
WINDOWS = {
    "auto": "",  # never looked up: `resolved` replaces it
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
        "help": "log-mel of the AST (kaldi) or of the CRNN baseline (stft); preset for options that are auto, "
        "and for fft_size, power and log_floor if they are 0",
        "choices": FRONT_ENDS,
    },
    "sample_rate": {"default": 16000, "help": "sampling rate, Hz", "least": 1000, "most": 1_000_000},
    "wave_norm": {
        "default": "none",
        "help": "level of waveforms: unchanged, or each clip divided by its peak (F, L), after mean removal "
        "(centred_peak)",
        "choices": WAVE_NORMS,
    },
    "wave_scale": {"default": 1.0, "help": "further factor of waveforms, whose full scale is 1", "least": 1e-6},
    "frame_length": {"default": 0.025, "help": "length of the analysis window, seconds", "least": 0.001, "most": 60},
    "frame_shift": {"default": 0.01, "help": "time from one frame to the next, seconds", "least": 0.001, "most": 60},
    "window": {"default": "auto", "help": "analysis window (kaldi: hann, stft: hamming)", "choices": WINDOWS},
    "window_ends": {
        "default": "auto",
        "help": "window with equal ends (symmetric), or one sample longer without the last (periodic); auto: symmetric",
        "choices": ["auto", "symmetric", "periodic"],
    },
    "fft_size": {
        "default": 0,
        "help": "length of the FFT in samples (0: the window's length, for kaldi rounded up to a power of two)",
        "least": 0,
    },
    "centring": {
        "default": "auto",
        "help": "frames that fit completely (none: kaldi), centred at multiples of the shift, the waveform mirrored at "
        "its ends (reflect: stft), or one per piece of one shift, centred at it, with zeros beyond the ends (fade)",
        "choices": ["auto", "none", "reflect", "fade"],
    },
    "mel_bins": {"default": 128, "help": "number of mel filters", "least": 4},
    "f_min": {"default": 20.0, "help": "lower edge of the first mel filter, Hz", "least": 0},
    "f_max": {"default": 8000.0, "help": "upper edge of the last mel filter, Hz", "least": 1},
    "mel_scale": {
        "default": "auto",
        "help": "mel scale of the filters' edges (front end kaldi: kaldi, stft: htk); with the scale kaldi, "
        "triangles are linear in mel, not Hz",
        "choices": ["auto", "htk", "slaney", "kaldi"],
    },
    "mel_norm": {
        "default": "peak",
        "help": "normalisation of filters: peak of 1, equal area (Slaney), or sum of 1",
        "choices": ["peak", "area", "sum"],
    },
    "power": {
        "default": 0,
        "help": "input of the filters: 1 magnitude, 2 power (0: 2 for kaldi, 1 for stft)",
        "choices": [0, 1, 2],
    },
    "log": {"default": "auto", "help": "natural logarithm (kaldi) or decibels (stft)", "choices": ["auto", "ln", "db"]},
    "log_floor": {
        "default": 0.0,
        "help": "floor of the logarithm's argument (0: 2^-23 for kaldi, 0.00001 for stft)",
        "least": 0,
    },
    "log_floor_by": {
        "default": "max",
        "help": "raise lower values to the floor (max), or add it to all values (add)",
        "choices": ["max", "add"],
    },
    "top_db": {
        "default": 0.0,
        "help": "largest distance below the clip's maximum, in the features' units (dB with log: db): lower ones are "
        "raised; 0: no limit",
        "least": 0,
    },
    "clamp": {
        "default": "auto",
        "help": "lower and upper limit of features, `-50,80`, or none (kaldi: none, stft: -50,80)",
    },
    "clip_seconds": {
        "default": 10.0,
        "help": "longest clip of a dump, seconds; longer ones are cut",
        "least": 0.1,
        "most": 86400,
    },
    "normaliser": {
        "default": "fixed",
        "help": "none; fixed: by norm_mean and norm_std; minmax: each clip to 0..1; minmax_bins: each bin of each clip "
        "to 0..1; bins: each bin by mean and standard deviation of the training sets",
        "choices": NORMALISERS,
    },
    "norm_mean": {
        "default": AUDIOSET_MEAN,
        "help": "normaliser fixed: (x - norm_mean) / (2 norm_std), so the standard deviation becomes 0.5 (P)",
    },
    "norm_std": {"default": AUDIOSET_STD, "help": "normaliser fixed: (x - norm_mean) / (2 norm_std)", "least": 1e-6},
    "norm_bins": {
        "default": "",
        "help": "normaliser bins: means of all bins, then standard deviations, comma-separated; '': computed "
        "from the training sets",
    },
    "norm_over": {
        "default": "clips",
        "help": "normaliser bins: clips: averages of each clip's mean and standard deviation; frames: those of all "
        "frames together",
        "choices": ["clips", "frames"],
    },
    "norm_clamp": {"default": 0.0, "help": "largest absolute value of normalised features; 0: no limit", "least": 0},
}


def _converted(key: str, value: Any, default: Any) -> Any:
    """Return a setting's value in the type of its default; raise ValueError if it is none of that type."""
    try:
        if isinstance(default, int) and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return type(default)(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{key} {str(value)[:40]} is no {type(default).__name__}") from None


def _check(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a value that is not finite, or outside its option's choices and bounds.

    The option parser refuses such values, but settings may also come from a file.
    """
    for key, value in settings.items():
        option: Any = OPTIONS[key]
        if "choices" in option and value not in option["choices"]:
            raise ValueError(f"{key} {value} is none of {', '.join(map(str, option['choices']))}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} {value} is not finite")
        if "least" in option and value < option["least"]:
            raise ValueError(f"{key} {value} is below {option['least']}")
        if "most" in option and value > option["most"]:
            raise ValueError(f"{key} {value} is above {option['most']}")


class FrontEnd(nn.Module):
    """Module without parameters: from waveforms to raw log-mel (`forward`), and on to a model's input (`normalise`).

    Settings are the options of the same names, with the options' defaults; unknown names raise TypeError, values of
    another type, outside the options' choices and bounds, or that do not fit together, ValueError. Settings are
    attributes as well, with `auto` and 0 resolved. `taper` (window_samples,) is the analysis window, `bank`
    (fft_size // 2 + 1, mel_bins) the mel bank; `decibel` and `silence` are those of `units`.
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
        given = {key: _converted(key, settings.get(key, default), default) for key, default in defaults().items()}
        _check(given)
        self.settings: Mapping[str, Any] = resolved(given)
        for key, value in self.settings.items():
            setattr(self, key, value)
        rate, f_min, f_max = self.sample_rate, self.f_min, self.f_max
        if not 0 <= f_min < f_max <= rate / 2:
            limits = "0 <= f_min < f_max <= sample_rate / 2 is needed"
            raise ValueError(f"f_min {f_min}, f_max {f_max}, sample_rate {rate}: {limits}")
        self.analysis: Analysis = chosen(FRONT_ENDS, self.front_end, "front_end")()
        self.framing = Framing.of(self.settings)
        weights = (self.fft_size // 2 + 1) * self.mel_bins
        if weights > MOST_WEIGHTS:
            sizes = f"fft_size {self.fft_size}, mel_bins {self.mel_bins}"
            raise ValueError(f"{sizes}: a mel bank of {weights} weights, more than {MOST_WEIGHTS}")
        if not self.clip_frames:
            least = self.min_samples / rate
            raise ValueError(f"clip_seconds {self.clip_seconds} is too short for a frame, which needs {least:g} s")
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
        """Build from a flat config, whose other keys are ignored.

        Raises:
            UserError: the settings are invalid.
        """
        try:
            return cls(**{key: config[key] for key in cls.KEYS if key in config})
        except ValueError as error:
            raise UserError(f"{error} (change the config)") from None

    @classmethod
    def from_params(cls, stored: Mapping[str, Any]) -> FrontEnd:
        """Build from the `params` that this or an earlier version has stored.

        Raises:
            UserError: the settings are invalid.
        """
        return cls.from_config(completed(stored))

    def params(self) -> dict[str, Any]:
        """Return the resolved settings, for dumps and checkpoints."""
        return dict(self.settings)

    def difference(self, found: Mapping[str, Any]) -> str | None:
        """Return how a front end with the parameters `found` differs from this one; see `params.difference`."""
        return difference(found, self.params())

    def num_frames(self, samples: int) -> int:
        """Return the number of frames of a waveform; 0 below `min_samples`."""
        return 0 if samples < self.min_samples else self.framing.num_frames(samples)

    @property
    def min_samples(self) -> int:
        """Length in samples of the shortest waveform with a frame; callers refuse shorter ones, naming the file."""
        return self.framing.min_samples

    @property
    def window_samples(self) -> int:
        """Length of the analysis window in samples."""
        return self.framing.window

    @property
    def wants_statistics(self) -> bool:
        """True if it cannot normalise before it has the statistics of the training sets."""
        return self.normaliser == "bins" and not self.norm_bins

    @property
    def clip_samples(self) -> int:
        """Number of samples of a full clip."""
        return round(self.clip_seconds * self.sample_rate)

    @property
    def clip_frames(self) -> int:
        """Number of frames of a full clip, for which a dump has room (with the defaults, 998 for 10 s)."""
        return self.num_frames(self.clip_samples)

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Tensor:
        """Compute raw log-mel (batch, frames, mel_bins) float32 of waveforms (batch, samples) in [-1, 1]."""
        if waveforms.shape[-1] < self.min_samples:
            raise ValueError(f"{waveforms.shape[-1]} samples: at least {self.min_samples} are needed for a frame")
        with torch.autocast(waveforms.device.type, enabled=False):
            waveforms = self.prepare(waveforms.float())
            if waveforms.is_cuda:
                return self._logmel(waveforms)
            # The frames of one clip fit into a core's cache; those of a batch do not (measured: 2.5 times slower).
            return torch.stack([self._logmel(waveform) for waveform in waveforms])

    def prepare(self, waveforms: Tensor, valid: Tensor | None = None) -> Tensor:
        """Set the level of waveforms (..., samples) and apply `Analysis.prepare`, which describes the arguments."""
        waveforms = self.level(waveforms, valid)
        if self.wave_scale != 1:
            waveforms = waveforms * self.wave_scale
        return self.analysis.prepare(waveforms, valid)

    def _logmel(self, waveforms: Tensor) -> Tensor:
        found = spectrum(self.analysis, self.framing.frames(waveforms), self.taper, self.fft_size)
        return logarithm(self._mel(found if self.power == 2 else found.sqrt_()), self.settings)

    def _mel(self, spectrum: Tensor) -> Tensor:
        if spectrum.is_cuda:  # in double precision, as `sed.features.analysis.spectrum` explains
            return (spectrum.double() @ self.bank.double()).float()
        return torch.cat([spectrum[..., lo:hi] @ self.bank[lo:hi, a:b] for lo, hi, a, b in self._blocks], -1)

    def normalise(self, logmel: Tensor, valid: Tensor | None, input_frames: int, padding: str) -> Tensor:
        """Normalise raw log-mel and pad it to a model's input.

        Args:
            logmel: (batch, frames, bins), any float type.
            valid: number of valid frames of each clip (batch,), followed by padding; None: all.
            input_frames: number of frames of the model's input; clips are cut or padded to it.
            padding: kind of padding of the model, a name of `sed.features.padding.PADDINGS`.

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
    """Split a mel bank (FFT bins, mel bins) into blocks (first FFT bin, end, first mel bin, end) with all its weights.

    A mel filter covers few FFT bins: eight dense blocks of adjacent filters take an eighth of the multiplications of
    the whole bank of 128 filters (measured: a third of the time).
    """
    used = bank > 0  # a filter without weights does not extend its block
    index = torch.arange(bank.shape[0]).unsqueeze(1)
    first = torch.where(used, index, bank.shape[0] - 1).amin(0)
    last = torch.where(used, index + 1, 1).amax(0)
    width = max(1, math.ceil(bank.shape[1] / 8))
    cuts = [*range(0, bank.shape[1], width), bank.shape[1]]
    return [(int(first[a:b].min()), int(last[a:b].max()), a, b) for a, b in itertools.pairwise(cuts)]
