"""Mel banks against torchaudio's."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from analysed_signals import RATE

from sed.features.mel import htk_mel_bank, kaldi_edges, kaldi_mel_bank


@pytest.mark.parametrize("bins, low, high", [(64, 20, 8000), (40, 0, 7600), (128, 300, 3400)])
def test_mel_bank_equals_torchaudio(bins, low, high):
    bank = kaldi_mel_bank(bins, 512, RATE, low, high)
    theirs = torchaudio.compliance.kaldi.get_mel_banks(bins, 512, RATE, low, high, 100.0, -500.0, 1.0)[0]
    torch.testing.assert_close(bank[:-1].T, theirs, rtol=0, atol=0)


def test_htk_bank_equals_torchaudio() -> None:
    bank = htk_mel_bank(128, 2048, RATE, 0.0, 8000.0)
    theirs = torchaudio.functional.melscale_fbanks(1025, 0.0, 8000.0, 128, RATE, norm=None, mel_scale="htk")
    torch.testing.assert_close(bank, theirs, rtol=0, atol=2e-4)  # torchaudio's is float32 from the start


def test_edges_are_where_triangles_begin_and_end() -> None:
    bank, edges = kaldi_mel_bank(20, 512, RATE, 20.0, 8000.0), kaldi_edges(20, 20.0, 8000.0)
    hertz = torch.arange(257) * RATE / 512
    for k, (low, high) in enumerate(zip(edges, edges[2:], strict=False)):
        used = hertz[bank[:, k] > 1e-4]
        assert len(used) and low <= used.min() and used.max() <= high
