"""Level normalisation: independent of a clip's level and neighbours, without a division in clips below -60 dBFS."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchaudio

from sed.features.logmel import WAVE_NORMS, FrontEnd
from sed.features.wave_norms import centred_peak, none, peak

STFT = {"front_end": "stft", "frame_length": 0.128, "frame_shift": 0.016, "f_min": 0}


def clip(seed: int = 0, samples: int = 16000) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def test_values_are_those_of_the_formulas() -> None:
    x = torch.tensor([[0.25, -0.5, 0.125], [2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert none(x) is x
    assert peak(x).tolist() == [[0.5, -1.0, 0.25], [1.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    centred = [np.array(row) - np.mean(row) for row in x.tolist()]
    expected = [row / (np.abs(row).max() or 1) for row in centred]
    np.testing.assert_allclose(centred_peak(x), expected, atol=1e-7)


def test_peak_leaves_a_clip_below_minus_60_dbfs_unchanged() -> None:
    x = torch.tensor([[0.00099, -0.0005], [0.00101, -0.0005]])
    assert torch.equal(peak(x)[0], x[0]) and peak(x)[1].tolist() == pytest.approx([1, -0.5 / 1.01])


@pytest.mark.parametrize("name", WAVE_NORMS)
def test_samples_beyond_the_end_have_no_influence(name: str) -> None:
    norm = {"none": none, "peak": peak, "centred_peak": centred_peak}[name]
    x = torch.from_numpy(clip()) + 0.05
    padded = torch.cat([x, torch.zeros(500)])[None].repeat(2, 1)
    found = norm(padded, torch.tensor([[16000.0], [16500.0]]))
    torch.testing.assert_close(found[0, :16000], norm(x[None])[0])
    assert not found[0, 16000:].any()
    torch.testing.assert_close(found[1], norm(padded)[1])


def test_features_are_those_of_a_clip_that_was_divided_by_its_peak() -> None:
    x = clip()
    divided = torch.from_numpy(x / np.abs(x).max())
    centred = divided - divided.mean()
    theirs = torchaudio.compliance.kaldi.fbank(
        centred[None], htk_compat=True, sample_frequency=16000, use_energy=False, window_type="hanning",
        num_mel_bins=128, dither=0.0, frame_shift=10,
    )  # fmt: skip
    ours = FrontEnd(wave_norm="peak")(torch.from_numpy(x)[None])[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("options", [{}, STFT])
@pytest.mark.parametrize("wave_norm", ["peak", "centred_peak"])
def test_features_depend_neither_on_a_clip_s_level_nor_on_its_neighbours(options: dict, wave_norm: str) -> None:
    front_end = FrontEnd(**options, wave_norm=wave_norm)
    one, other = torch.from_numpy(clip(0)), torch.from_numpy(clip(1))
    alone = front_end(one[None])[0]
    for gain in (0.05, 0.3, 4.0):
        batch = front_end(torch.stack([gain * one, other * 2]))
        torch.testing.assert_close(batch[0], alone, rtol=0, atol=4e-3)
