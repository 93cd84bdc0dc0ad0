"""Mel banks against torchaudio's."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from analysed_signals import RATE

from sed.features.logmel import FrontEnd
from sed.features.mel import frequency_mel_bank, kaldi_mel_bank, mel_bank, mel_edges

UNWARPED = (100.0, -500.0, 1.0)  # torchaudio's vtln_low, vtln_high and vtln_warp_factor; 1 warps nothing


@pytest.mark.parametrize("bins, low, high", [(64, 20, 8000), (40, 0, 7600), (128, 300, 3400)])
def test_mel_bank_equals_torchaudio(bins, low, high):
    bank = kaldi_mel_bank(bins, 512, RATE, low, high)
    theirs = torchaudio.compliance.kaldi.get_mel_banks(bins, 512, RATE, low, high, *UNWARPED)[0]
    torch.testing.assert_close(bank[:-1].T, theirs, rtol=0, atol=0)


def test_htk_bank_equals_torchaudio() -> None:
    bank = frequency_mel_bank("htk", 128, 2048, RATE, 0.0, 8000.0)
    theirs = torchaudio.functional.melscale_fbanks(1025, 0.0, 8000.0, 128, RATE, norm=None, mel_scale="htk")
    torch.testing.assert_close(bank, theirs, rtol=0, atol=2e-4)  # torchaudio's is float32 from the start


@pytest.mark.parametrize("mel_scale", ["kaldi", "htk", "slaney"])
def test_edges_are_where_triangles_begin_and_end(mel_scale: str) -> None:
    bank = mel_bank(FrontEnd(mel_scale=mel_scale, mel_bins=20).settings)
    edges = mel_edges(mel_scale, 20, 20.0, 8000.0)
    assert edges[0] == pytest.approx(20) and edges[-1] == pytest.approx(8000)
    hertz = torch.arange(257) * RATE / 512
    for k, (low, high) in enumerate(zip(edges, edges[2:], strict=False)):
        used = hertz[bank[:, k] > 1e-4]
        assert len(used) and low <= used.min() and used.max() <= high


def test_slaney_s_scale_bends_at_1_khz() -> None:
    """66.7 Hz per mel up to 15 mels, then a factor of 6.4 per 27 mels (Auditory Toolbox)."""
    # 6.4 kHz are 42 mels, so the 43 edges of 41 bins are 1 mel apart
    assert mel_edges("slaney", 41, 0.0, 6400.0)[::14] == pytest.approx([0, 2800 / 3, 1000 * 6.4 ** (13 / 27), 6400])


@pytest.mark.parametrize("mel_norm", ["peak", "area", "sum"])
def test_filters_have_a_peak_an_area_or_a_sum_of_1(mel_norm: str) -> None:
    bank = mel_bank(FrontEnd(front_end="stft", frame_length=0.256, mel_bins=30, mel_norm=mel_norm).settings).double()
    if mel_norm == "peak":
        assert bank.amax(0).min() > 0.9 and bank.max() <= 1
    else:
        width = RATE / 4096 if mel_norm == "area" else 1  # of an FFT bin: in Hz for the area
        area = bank.sum(0) * width
        torch.testing.assert_close(area, torch.ones(30, dtype=torch.float64), rtol=0, atol=0.01)


def test_a_filter_between_two_bins_is_empty_and_not_nan() -> None:
    bank = mel_bank(FrontEnd(front_end="stft", frame_length=0.008, mel_norm="sum").settings)
    assert bank.isfinite().all() and not bank.sum(0).all()


@pytest.mark.parametrize("mel_scale", ["kaldi", "htk", "slaney"])
def test_an_fft_of_odd_size_has_the_rows_and_frequencies_of_its_spectrum(mel_scale: str) -> None:
    front_end = FrontEnd(front_end="stft", sample_rate=22050, fft_size=551, mel_scale=mel_scale, mel_bins=10)
    bank, edges = front_end.bank, mel_edges(mel_scale, 10, 20.0, 8000.0)
    hertz = torch.fft.rfftfreq(551, 1 / 22050)
    assert bank.shape == (len(hertz), 10)
    centre = (bank * hertz[:, None]).sum(0) / bank.sum(0)
    # A triangle's centroid is the mean of its corners; the three widest have enough FFT bins to show it.
    centroids = [(low + middle + high) / 3 for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False)]
    if mel_scale != "kaldi":  # whose triangles are not linear in Hz
        assert centre[-3:].tolist() == pytest.approx(centroids[-3:], rel=2e-4)
