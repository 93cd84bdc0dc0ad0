"""The Bi-GRU decoder keeps frames aligned: each of the encoder's becomes `upsample` frames."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sed.models.decoders import repeated
from sed.models.gru_decoder import GruDecoder, run_gru


@pytest.mark.parametrize("upsample", [1, 2, 5, 10])
def test_frames_are_repeated_in_their_place(upsample: int) -> None:
    frames = repeated(torch.arange(100.0).view(1, 100, 1), upsample)[0, :, 0]
    assert torch.equal(frames, torch.arange(100 * upsample).div(upsample, rounding_mode="floor").float())


def test_run_gru_is_torch_s_gru_over_repeated_frames() -> None:
    torch.manual_seed(0)
    gru, x = nn.GRU(4, 3, 2, batch_first=True, bidirectional=True), torch.randn(2, 5, 4)
    assert torch.equal(run_gru(gru, x, 3), gru(x.repeat_interleave(3, 1))[0])


def test_a_copy_has_the_implementation_but_its_own_gru() -> None:
    """A teacher is a copy of the student."""
    torch.manual_seed(0)
    student = GruDecoder(dim=4, frames=5, upsample=2, units=3, layers=1, gru_dropout=0, dropout=0)
    x = torch.randn(2, 5, 4)
    by_torch = student(x).hidden
    student.run_gru = lambda gru, x, repeat: 2 * run_gru(gru, x, repeat)
    teacher = copy.deepcopy(student)
    assert torch.equal(teacher(x).hidden, 2 * by_torch)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    assert not student(x).hidden.any() and teacher(x).hidden.any()


def test_dropout_between_layers_needs_two_of_them() -> None:
    sizes = {"dim": 4, "frames": 5, "upsample": 1, "units": 3, "gru_dropout": 0.5, "dropout": 0.0}
    assert GruDecoder(**sizes, layers=1).gru.dropout == 0 and GruDecoder(**sizes, layers=2).gru.dropout == 0.5
