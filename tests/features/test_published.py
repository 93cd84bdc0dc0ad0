"""Each front end of conf/, and those of published encoders, against independent expressions in NumPy or torchaudio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
import torchaudio
from resolved_configs import CONF, parse

from sed.features.logmel import FrontEnd
from sed.features.mel import mel_bank

RATE = 16000
AMPLITUDES = (1.0, 0.03)


def clip(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise whose level rises and falls after a quiet start, with an offset."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * RATE)
    swell = 0.02 + 0.1 * np.sin(np.arange(samples) / 9000) ** 2
    return (swell * rng.standard_normal(samples) + 0.01).astype(np.float32)


def spectra_of(x: np.ndarray, window: np.ndarray, hop: int, fft_size: int) -> np.ndarray:
    """Return the spectra of windows that fit completely, float64 (frames, fft_size // 2 + 1)."""
    count = 1 + (len(x) - len(window)) // hop
    rows = np.stack([x[i * hop : i * hop + len(window)] for i in range(count)]).astype(np.float64)
    return np.fft.rfft(rows * window, fft_size)


def triangles(edges: np.ndarray, fft_size: int) -> np.ndarray:
    """Return triangles (fft_size // 2 + 1, bins) from edge k over edge k + 1 to edge k + 2."""
    hertz = np.arange(fft_size // 2 + 1) * RATE / fft_size
    return np.stack([np.interp(hertz, edges[k : k + 3], [0, 1, 0]) for k in range(len(edges) - 2)], 1)


def htk_edges(bins: int, low: float, high: float) -> np.ndarray:
    def mel(hertz: float) -> float:
        return 1127 * np.log(1 + hertz / 700)

    return 700 * (np.exp(np.linspace(mel(low), mel(high), bins + 2) / 1127) - 1)


def slaney_edges(bins: int, low: float, high: float) -> np.ndarray:
    """Return edges of the Auditory Toolbox: 15 mels of 200/3 Hz up to 1 kHz, then 27 mels per factor of 6.4."""

    def mel(hertz: float) -> float:
        return hertz / (200 / 3) if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)

    mels = np.linspace(mel(low), mel(high), bins + 2)
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))


def crnn(x: np.ndarray) -> np.ndarray:
    spectrum = np.abs(spectra_of(np.pad(x, 1024, mode="reflect"), np.hamming(2048), 256, 2048))
    decibels = 20 * np.log10(np.maximum(spectrum @ triangles(htk_edges(128, 0, 8000), 2048), 1e-5))
    return np.clip(decibels, -50, 80)


def fdy(x: np.ndarray) -> np.ndarray:
    return crnn(x / np.abs(x).max())


def conformer(x: np.ndarray) -> np.ndarray:
    x = x / np.abs(x).max()
    spectrum = np.abs(spectra_of(np.pad(x, 512, mode="reflect"), np.hamming(1024), 323, 1024))
    decibels = 20 * np.log10(np.maximum(spectrum @ triangles(slaney_edges(64, 0, 8000), 1024), 1e-5))
    return np.maximum(decibels, decibels.max() - 80)


def fbcrnn(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64) - x.mean(dtype=np.float64)
    x = np.pad(x / np.abs(x).max(), 320)
    x = np.pad(x, (0, -(len(x) - 960) % 320))
    power = np.abs(spectra_of(x, scipy.signal.get_window("blackman", 960), 320, 1024)) ** 2
    bank = triangles(htk_edges(128, 50, 8000), 1024)
    return np.log(power @ (bank / np.maximum(bank.sum(0), 1e-30)) + 1e-12)


def panns_bank() -> np.ndarray:
    """Return Slaney's filters, of equal area."""
    edges = slaney_edges(64, 50, 8000)
    return triangles(edges, 512) * 2 / (edges[2:] - edges[:-2])


def panns(x: np.ndarray) -> np.ndarray:
    spectrum = spectra_of(np.pad(x, 256, mode="reflect"), scipy.signal.get_window("hann", 512), 160, 512)
    return 10 * np.log10(np.maximum(np.abs(spectrum) ** 2 @ panns_bank(), 1e-10))


def atst_frame(x: np.ndarray) -> np.ndarray:
    spectrum = np.abs(spectra_of(np.pad(x, 512, mode="reflect"), scipy.signal.get_window("hann", 1024), 160, 1024))
    decibels = 10 * np.log10(np.maximum(spectrum**2 @ triangles(htk_edges(64, 60, 7800), 1024), 1e-10))
    return np.clip(np.maximum(decibels, decibels.max() - 80), -50, 80)


def dasheng_in_numpy(x: np.ndarray) -> np.ndarray:
    spectrum = np.abs(spectra_of(np.pad(x, 256, mode="reflect"), scipy.signal.get_window("hann", 512), 160, 512))
    decibels = 10 * np.log10(np.maximum(spectrum**2 @ triangles(htk_edges(64, 0, 8000), 512), 1e-10))
    return np.maximum(decibels, decibels.max() - 120)


def ast(x: np.ndarray) -> np.ndarray:
    """Use torchaudio in double precision."""
    x = x.astype(np.float64)
    return torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(x - x.mean())[None], htk_compat=True, sample_frequency=RATE, use_energy=False,
        window_type="hanning", num_mel_bins=128, dither=0.0, frame_shift=10,
    ).numpy()  # fmt: skip


def ast_of_peak(x: np.ndarray) -> np.ndarray:
    return ast(x / np.abs(x).max())


def kaldi_of_povey(x: np.ndarray) -> np.ndarray:
    """Use torchaudio in double precision, with its defaults (Povey's window, among others)."""
    return torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(x).double()[None] * 2**15, num_mel_bins=128, sample_frequency=RATE, dither=0.0
    ).numpy()


CONFIGS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "logmel.yaml": (ast, 998),
    "logmel_peak.yaml": (ast_of_peak, 998),
    "logmel_atst.yaml": (atst_frame, 1001),
    "logmel_beats.yaml": (kaldi_of_povey, 998),
    "logmel_crnn.yaml": (crnn, 626),
    "logmel_dasheng.yaml": (dasheng_in_numpy, 1001),
    "logmel_fdy.yaml": (fdy, 626),
    "logmel_conformer.yaml": (conformer, 496),
    "logmel_fbcrnn.yaml": (fbcrnn, 500),
    "logmel_panns.yaml": (panns, 1001),
}


KALDI = ("logmel.yaml", "logmel_peak.yaml", "logmel_beats.yaml")


def assert_powers_equal(logarithms: np.ndarray, expected: np.ndarray) -> None:
    """Compare natural logarithms of powers (frames, bins), in bins that hold almost nothing to within the rounding.

    On the waveforms of these tests, torchaudio's own features in single precision differ from those in double by 6e-11
    of the power of the frame's loudest bin.
    """
    ours, theirs = np.exp(logarithms.astype(np.float64)), np.exp(expected)
    np.testing.assert_array_less(np.abs(ours - theirs), 5e-5 * theirs + 2e-10 * theirs.max(1, keepdims=True))


def of_config(name: str) -> FrontEnd:
    return FrontEnd.from_config(parse(CONF / name))


def test_every_front_end_of_conf_is_here() -> None:
    assert {*CONFIGS} == {path.name for path in CONF.glob("logmel*.yaml")}


@pytest.mark.parametrize("name", CONFIGS)
def test_raw_features_equal_the_expression(name: str) -> None:
    expression, frames = CONFIGS[name]
    front_end = of_config(name)
    assert front_end.clip_frames == frames
    for amplitude in AMPLITUDES:
        for seconds in (1.2345, 0.3):
            x = amplitude * clip(seconds)
            ours = front_end(torch.from_numpy(x)[None])[0].numpy()
            if name in KALDI:
                assert_powers_equal(ours, expression(x))
            else:
                np.testing.assert_allclose(ours, expression(x), rtol=1e-5, atol=4e-5, err_msg=f"{amplitude} {seconds}")


def test_normalised_features_of_the_crnns_equal_the_expression() -> None:
    x, padded = clip(3), 400
    raw = crnn(x)
    theirs = (raw - raw.min()) / (raw.max() - raw.min())
    front_end = of_config("logmel_crnn.yaml")
    ours = front_end.normalise(front_end(torch.from_numpy(x)[None]), None, padded, "raw")[0].numpy()
    np.testing.assert_allclose(ours[: len(raw)], theirs, atol=1e-5)
    raw = fdy(x)
    theirs = (raw - raw.min(0)) / (raw.max(0) - raw.min(0))
    front_end = of_config("logmel_fdy.yaml")
    ours = front_end.normalise(front_end(torch.from_numpy(x)[None]), None, padded, "raw")[0].numpy()
    np.testing.assert_allclose(ours[: len(raw)], theirs, atol=1e-5)


def test_panns_bank_is_slaney_s_and_its_window_hann_s() -> None:
    front_end = of_config("logmel_panns.yaml")
    np.testing.assert_allclose(front_end.bank, panns_bank(), atol=1e-6)
    theirs = torchaudio.functional.melscale_fbanks(257, 50, 8000, 64, RATE, norm="slaney", mel_scale="slaney")
    torch.testing.assert_close(front_end.bank, theirs, rtol=0, atol=1e-6)
    window = scipy.signal.get_window("hann", 512)
    np.testing.assert_allclose(front_end.taper, window, rtol=0, atol=1e-6)


Settings = dict[str, Any]
ENCODERS: dict[str, tuple[Settings, Callable[[torch.Tensor], torch.Tensor]]] = {}


def encoder(**settings: Any) -> Callable[[Callable], Callable]:
    def add(expression: Callable) -> Callable:
        ENCODERS[expression.__name__] = (settings, expression)
        return expression

    return add


@encoder(**parse(CONF / "logmel_atst.yaml"))
def atst(x: torch.Tensor) -> torch.Tensor:
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=1024, win_length=1024, hop_length=160, f_min=60, f_max=7800, n_mels=64
    )
    decibels = torchaudio.transforms.AmplitudeToDB(top_db=80)(mel(x[None])).clamp(-50, 80)[0].T
    return (decibels + 79.6482) / (79.6482 + 50.6842) * 2 - 1


@encoder(**parse(CONF / "logmel_beats.yaml"))
def beats(x: torch.Tensor) -> torch.Tensor:
    fbank = torchaudio.compliance.kaldi.fbank(
        x[None] * 2**15, num_mel_bins=128, sample_frequency=RATE, frame_length=25, frame_shift=10, dither=0.0
    )
    return (fbank - 15.41663) / (2 * 6.55582)


@encoder(**parse(CONF / "logmel_dasheng.yaml"))
def dasheng(x: torch.Tensor) -> torch.Tensor:
    mel = torchaudio.transforms.MelSpectrogram(RATE, n_fft=512, win_length=512, hop_length=160, f_max=8000, n_mels=64)
    return torchaudio.transforms.AmplitudeToDB(top_db=120)(mel(x[None]))[0].T


@encoder(normaliser="fixed", norm_mean=-4.268, norm_std=4.569)
def eat(x: torch.Tensor) -> torch.Tensor:
    return (torch.from_numpy(ast(x.numpy())).float() + 4.268) / (2 * 4.569)


@encoder(
    front_end="stft", frame_length=0.025, frame_shift=0.01, fft_size=512, window="hann", window_ends="periodic",
    mel_bins=80, f_min=50, power=2, log="ln", log_floor=1e-6, log_floor_by="add", clamp="none", normaliser="none",
)  # fmt: skip
def window_shorter_than_the_transform(x: torch.Tensor) -> torch.Tensor:
    """Use a window that is shorter than the FFT: torch puts it in the FFT's middle."""
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=512, win_length=400, hop_length=160, f_min=50, f_max=8000, n_mels=80
    )
    return (mel(x[None])[0].T + 1e-6).log()


@pytest.mark.parametrize("name", ENCODERS)
def test_front_ends_equal_those_of_published_encoders(name: str) -> None:
    settings, expression = ENCODERS[name]
    front_end = FrontEnd(**settings)
    for amplitude in AMPLITUDES:
        x = amplitude * torch.from_numpy(clip(1.1))
        theirs = expression(x)
        ours = front_end.normalise(front_end(x[None]), None, len(theirs), "raw")[0]
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("name", ["atst", "dasheng"])
def test_the_maximum_is_taken_per_clip(name: str) -> None:
    """torchaudio takes the maximum over a batch, so that a loud clip raises the floor of a quiet one."""
    front_end = FrontEnd(**ENCODERS[name][0])
    quiet, loud = torch.zeros(RATE), torch.from_numpy(clip(1, seed=1))
    quiet[8000:8100] = 1e-3
    # As on a GPU; on a CPU, `forward` computes clips one by one.
    batch = front_end._logmel(front_end.prepare(torch.stack([quiet, 8 * loud])))
    torch.testing.assert_close(batch[0], front_end(quiet[None])[0], rtol=0, atol=1e-4)


def test_mel_banks_equal_torchaudio_s() -> None:
    for scale in ("htk", "slaney"):
        for norm in ("peak", "area"):
            settings = FrontEnd(front_end="stft", mel_scale=scale, mel_norm=norm, f_min=50.0, mel_bins=40).settings
            theirs = torchaudio.functional.melscale_fbanks(
                settings["fft_size"] // 2 + 1, 50, 8000, 40, RATE, {"area": "slaney"}.get(norm), scale
            )
            torch.testing.assert_close(mel_bank(settings), theirs, rtol=0, atol=2e-4)
