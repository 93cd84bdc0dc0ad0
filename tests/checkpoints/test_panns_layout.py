"""PANNs' Cnn14: its front end is compared with ours, and files of another rate are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paths import ROOT
from resolved_configs import parse
from torch import Tensor

from sed.checkpoints.importers import importer_of
from sed.checkpoints.panns_layout import PannsImporter
from sed.checkpoints.pretrained import load_pretrained
from sed.errors import UserError
from sed.models.detector import build_detector
from sed.models.panns import Cnn14

RATE, WINDOW = 16000, 512
COSINE, SINE = (f"spectrogram_extractor.stft.conv_{part}.weight" for part in ("real", "imag"))


def kernels(window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return real and imaginary parts of a Hann-windowed Fourier transform, from their definition."""
    n, k = np.arange(window), np.arange(window // 2 + 1)
    angle, taper = 2 * np.pi * np.outer(k, n) / window, 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    return np.cos(angle) * taper, -np.sin(angle) * taper


def mel_bank(rate: int, window: int, low: float, high: float) -> np.ndarray:
    """Return librosa's default bank: scale of the Auditory Toolbox, linear up to 1 kHz, triangles of equal area."""

    def mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)

    def hertz(mels: np.ndarray) -> np.ndarray:
        return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))

    edges = hertz(np.linspace(mel(low), mel(high), 64 + 2))  # of 64 bands
    bins = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    up, down = (bins - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(up, down)) * 2 / (edges[2:] - edges[:-2])


def published(encoder: Cnn14, *, window: int = WINDOW, rate: int = RATE, low: float = 50.0) -> dict[str, Any]:
    """Return a checkpoint in the form of the authors' training."""
    real, imaginary = kernels(window)
    model = dict(encoder.state_dict())
    model |= {
        COSINE: torch.from_numpy(real).float()[:, None],
        SINE: torch.from_numpy(imaginary).float()[:, None],
        "logmel_extractor.melW": torch.from_numpy(mel_bank(rate, window, low, 8000)).float(),
        "fc1.weight": torch.zeros(4, 64),
        "fc_audioset.weight": torch.zeros(527, 4),
    }
    sampler = {"indexes_per_class": [np.arange(3), np.arange(5)], "queue": [1, 2], "pointers_of_classes": [0, 0]}
    return {"iteration": 600000, "model": model, "sampler": sampler}


def config(path: Path, **values: Any) -> dict[str, Any]:
    small = {"panns_channels": 2, "gru_units": 4, "gru_layers": 1}
    return {**parse(ROOT / "conf/pann_rnn.yaml"), **small, "pretrained": str(path), **values}


def load(checkpoint: object, path: Path, **values: Any) -> dict[str, Tensor]:
    torch.save(checkpoint, path)
    found = config(path, **values)
    detector = build_detector(found, 3)
    load_pretrained(detector, found, "abc")
    return detector.get_submodule("encoder").state_dict()


def trained() -> Cnn14:
    torch.manual_seed(0)
    encoder = Cnn14(channels=2)
    encoder(torch.randn(2, 64, 64))  # running statistics of its own
    return encoder


def test_the_authors_checkpoint_loads_with_its_statistics(tmp_path: Path) -> None:
    encoder = trained()
    loaded = load(published(encoder), tmp_path / "Cnn14_16k_mAP=0.438.pth")
    assert all(torch.equal(loaded[key], value) for key, value in encoder.state_dict().items())
    assert isinstance(importer_of("panns"), PannsImporter)


@pytest.mark.parametrize(
    "change, values, message",
    [
        ({"window": 1024, "rate": 32000}, {}, r"over 1024 samples .* at 16000 Hz, over 512.*Cnn14_16k"),
        (
            {},
            {"sample_rate": 32000},
            r"over 512 samples .* at 32000 Hz, over 1024.*\(Cnn14_16k.* conf/logmel_panns\.yaml, at 16000 Hz\)",
        ),
        ({"low": 60.0}, {}, r"melW is 0\.\d+ off the config's.*logmel_panns\.yaml"),
        ({}, {"mel_norm": "peak"}, r"melW is .* off the config's"),
        ({}, {"window": "hamming"}, r"conv_real\.weight is 0\.0\d* off the config's"),
        ({}, {"panns_channels": 3}, r"not the Cnn14 that the config describes; misshapen: conv_block1\.conv1\.weight"),
    ],
    ids=["rate", "the config's rate", "mel bank", "mel norm", "window", "size"],
)
def test_another_front_end_or_size_is_refused_in_a_line(
    tmp_path: Path, change: dict[str, Any], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        load(published(trained(), **change), tmp_path / "cnn.pth", **values)
    assert "\n" not in str(error.value) and str(tmp_path / "cnn.pth") in str(error.value)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("logmel_extractor.melW", None, "melW is missing"),
        (COSINE, torch.zeros(()), r"conv_real\.weight is of shape \[\], the config's of \[257, 1, 512\]"),
        (COSINE, torch.zeros(512), r"of shape \[512\], the config's"),
        (SINE, torch.zeros(()), r"conv_imag\.weight is of shape \[\]"),
        ("logmel_extractor.melW", torch.zeros(()), r"melW is of shape \[\]"),
        ("conv_block6.bn2.running_var", None, r"missing: conv_block6\.bn2\.running_var"),
        ("conv_block7.conv1.weight", torch.zeros(1), r"unexpected: conv_block7"),
        ("conv_block2.conv1.weight", torch.full((4, 2, 3, 3), torch.nan), "not finite"),
    ],
)
def test_a_file_with_missing_unknown_or_nan_tensors_is_refused(
    tmp_path: Path, key: str, value: Tensor | None, message: str
) -> None:
    checkpoint = published(trained())
    if value is None:
        del checkpoint["model"][key]
    else:
        checkpoint["model"][key] = value
    with pytest.raises(UserError, match=message):
        load(checkpoint, tmp_path / "cnn.pth")
