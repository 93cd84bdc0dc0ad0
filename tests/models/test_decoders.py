"""Every time decoder of the registry fulfils the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sed.models.decoders import DECODERS, Summarising, build_decoder, is_gru_based


@pytest.mark.parametrize("upsample", [1, 5])
@pytest.mark.parametrize("name", DECODERS)
def test_frames_are_cropped_and_upsampled(small: Callable[..., dict[str, Any]], name: str, upsample: int) -> None:
    decoder = build_decoder(small(decoder=name, upsample=upsample), dim=6, frames=20)
    assert isinstance(decoder, nn.Module)
    decoder.eval()
    x = torch.randn(2, 22, 6)
    out, summary = decoder(x)
    assert (decoder.frames, decoder.upsample) == (20, upsample)
    assert out.shape == (2, 20 * upsample, decoder.dim)
    x[:, 20:] = 9.0
    again = decoder(x)
    assert torch.equal(again.hidden, out), "what comes after the clip has no say"
    if isinstance(decoder, Summarising):
        assert summary is not None and again.summary is not None and summary.shape == (2, decoder.dim)
        assert torch.equal(again.summary, summary)
    else:
        assert summary is None


@pytest.mark.parametrize("name", DECODERS)
def test_another_implementation_of_its_gru_is_used(small: Callable[..., dict[str, Any]], name: str) -> None:
    decoder = build_decoder(small(decoder=name, upsample=2), dim=6, frames=20)
    if not is_gru_based(decoder):
        pytest.skip(f"{name} has no GRU")
    calls = []

    def run_gru(gru: nn.GRU, x: torch.Tensor, repeat: int) -> torch.Tensor:
        calls.append((gru is decoder.gru, x.shape, repeat))
        return torch.zeros(len(x), x.shape[1] * repeat, decoder.dim)

    decoder.run_gru = run_gru
    assert not decoder(torch.randn(2, 22, 6)).hidden.any() and calls == [(True, (2, 20, 6), 2)]


def test_an_unknown_name_is_refused(small: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"decoder 'unheard-of' is not known \(gru"):
        build_decoder({**small(), "decoder": "unheard-of"}, dim=6, frames=20)
