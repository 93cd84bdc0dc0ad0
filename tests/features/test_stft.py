"""The CRNN baseline's front end against torchaudio's transforms."""

from __future__ import annotations

import torch
import torchaudio
from analysed_signals import RATE, signals

from sed.features.logmel import FrontEnd


def test_stft_equals_the_baselines_transforms():
    front_end = FrontEnd(front_end="stft", frame_length=0.128, frame_shift=0.016, f_min=0, normaliser="minmax")
    spectrogram = torchaudio.transforms.MelSpectrogram(
        sample_rate=RATE, n_fft=2048, hop_length=256, f_min=0, f_max=8000, n_mels=128, power=1,
        window_fn=torch.hamming_window, wkwargs={"periodic": False},
    )  # fmt: skip
    decibel = torchaudio.transforms.AmplitudeToDB(stype="amplitude")
    decibel.amin = 1e-5
    for signal in signals().values():
        theirs = decibel(spectrogram(signal)).clamp(-50, 80).T
        torch.testing.assert_close(front_end(signal.unsqueeze(0))[0], theirs, rtol=0, atol=2e-3)


def test_there_is_a_frame_for_every_hop_and_one_more() -> None:
    front_end = FrontEnd(front_end="stft", frame_length=0.128, frame_shift=0.016)
    assert front_end.min_samples == 1025 and front_end.num_frames(1024) == 0
    assert [front_end.num_frames(n) for n in (1025, 1279, 1280)] == [5, 5, 6]
    assert front_end(torch.zeros(1, 1280)).shape[1] == 6
