"""Importer of PANNs' Cnn14 at 16 kHz (`Cnn14_16k_mAP=0.438.pth`).

The file has the front end as constants: windowed cosines and sines of the STFT, and the mel filter bank. These are
compared with the config's: another rate or mel scale would cause no error, only worse results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, fitting
from sed.checkpoints.wrappers import plain_name
from sed.features.logmel import FrontEnd

PUBLISHED = "Cnn14_16k_mAP=0.438.pth"
TOLERANCE = 1e-6
"""largest difference of a constant: both sides are computed in float64 and stored in float32"""
_COSINE, _SINE = (f"spectrogram_extractor.stft.conv_{part}.weight" for part in ("real", "imag"))
_BANK = "logmel_extractor.melW"
_IGNORED = (
    "spectrogram_extractor.",  # the front end, which `check_front_end` compares
    "logmel_extractor.",
    "fc1.",  # the tagging head
    "fc_audioset.",
)


class PannsImporter:
    """`Importer` of Cnn14, which also compares the front end that it was trained with."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of a CNN of the PANNs."""
        return {"bn0.weight", "conv_block1.conv1.weight"} <= {plain_name(name) for name in state}

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the Cnn14.
            state: the published tagger.
            config: the config of the encoder and its front end.

        Raises:
            Mismatch: the file is of another network or another front end.
        """
        tensors = {plain_name(name): value for name, value in state.items()}
        check_front_end(tensors, FrontEnd.from_config(config))
        encoder.load_state_dict(fitting(tensors, encoder.state_dict(), model="Cnn14", ignored=_IGNORED))


def check_front_end(state: Mapping[str, Tensor], front_end: FrontEnd) -> None:
    """Compare the kernels of a file's front end with ours.

    Args:
        state: tensors of the file.
        front_end: front end of the training.

    Raises:
        Mismatch: the file has none, or they differ; the message names the first.
    """
    if lacking := [key for key in (_COSINE, _SINE, _BANK) if key not in state]:
        raise Mismatch(f"it does not say which features it was trained on: {lacking[0]} is missing")
    shape = state[_COSINE].shape
    if len(shape) == 3 and shape[-1] != front_end.fft_size:
        raise Mismatch(
            f"its STFT is over {shape[-1]} samples and the config's, at {front_end.sample_rate} Hz, over "
            f"{front_end.fft_size}: made for another rate or front end ({PUBLISHED} is for conf/logmel_panns.yaml, at "
            "16000 Hz)"
        )
    cosines, sines = (kernels[:, None] for kernels in stft_kernels(front_end))  # weights of a convolution
    for key, kernel in zip((_COSINE, _SINE, _BANK), (cosines, sines, front_end.bank), strict=True):
        theirs = state[key]
        if theirs.shape != kernel.shape:
            how = f"of shape {list(theirs.shape)}, the config's of {list(kernel.shape)}"
        elif not (error := (theirs.double() - kernel.double()).abs().max().item()) <= TOLERANCE:  # also if it is NaN
            how = f"{error:.2g} off the config's"
        else:
            continue
        raise Mismatch(f"{key} is {how}: made for another front end (conf/logmel_panns.yaml has the published one)")


def stft_kernels(front_end: FrontEnd) -> tuple[Tensor, Tensor]:
    """Return the real and imaginary parts of the windowed kernels of an STFT, each (fft_size / 2 + 1, fft_size)."""
    window = front_end.taper.double().cpu()
    left = (front_end.fft_size - len(window)) // 2  # torch.stft centres a window that is shorter
    padded = F.pad(window, (left, front_end.fft_size - len(window) - left))
    kernels = torch.fft.rfft(torch.diag(padded)).T
    return kernels.real, kernels.imag
