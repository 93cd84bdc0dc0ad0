"""Choice of the implementation of the decoder's GRU: cuDNN in bf16, and no change to decoders without a GRU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sed.models.decoders import Decoded, is_gru_based
from sed.models.detector import Detector, build_detector
from sed.models.gru_decoder import run_gru
from sed.training.gpu.gru_backend import bf16_gru, by_cudnn, use_bf16, use_persistent


class Linear(nn.Module):
    """Decoder without recurrent layers."""

    dim, frames, upsample = 5, 7, 1

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> Decoded:
        return Decoded(self.map(x[:, :7]))


def without_gru(config: dict[str, Any]) -> Detector:
    """Return a detector whose decoder has no GRU."""
    detector = build_detector(config, 3)
    detector.decoder = Linear()
    return detector


def test_bf16_gru_is_the_gru() -> None:
    torch.manual_seed(0)
    gru = nn.GRU(6, 8, 2, batch_first=True, bidirectional=True)
    x = torch.randn(3, 7, 6)
    out = bf16_gru(gru, x, 2)
    assert out.dtype == torch.bfloat16 and torch.allclose(out.float(), run_gru(gru, x, 2), atol=0.02)


def test_by_cudnn_is_undone_after_its_context(tiny_config: Callable[..., dict[str, Any]]) -> None:
    detector = build_detector(tiny_config(), 3)
    assert is_gru_based(detector.decoder)
    with by_cudnn(detector):
        assert detector.decoder.run_gru is bf16_gru
    assert detector.decoder.run_gru is run_gru
    use_bf16(detector)
    assert detector.decoder.run_gru is bf16_gru


def test_a_cpu_has_no_persistent_kernel(tiny_config: Callable[..., dict[str, Any]]) -> None:
    detector = build_detector(tiny_config(), 3)
    assert not use_persistent(detector)
    assert is_gru_based(detector.decoder) and detector.decoder.run_gru is run_gru


def test_a_decoder_without_a_gru_is_left_alone(tiny_config: Callable[..., dict[str, Any]]) -> None:
    detector = without_gru(tiny_config())
    use_bf16(detector)
    assert not use_persistent(detector)
    x = torch.randn(2, 9, 6)
    with by_cudnn(detector):
        inside = detector.decoder(x)
    assert torch.equal(inside.hidden, detector.decoder(x).hidden) and not hasattr(detector.decoder, "run_gru")
