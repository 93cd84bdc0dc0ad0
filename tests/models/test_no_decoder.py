"""No time decoder: the encoder's frames, cropped to the clip and repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sed.models.decoders import build_decoder


def test_frames_are_the_encoder_s_own_each_repeated(config: Callable[..., dict[str, Any]]) -> None:
    x = torch.randn(2, 5, 3)
    for upsample in (1, 2):
        decoder = build_decoder(config(decoder="none", upsample=upsample), dim=3, frames=4)
        decoded = decoder(x)
        assert (decoder.dim, decoder.upsample, decoded.summary) == (3, upsample, None)
        assert not list(decoder.parameters())  # type: ignore[attr-defined]
        for frame in range(4 * upsample):
            assert torch.equal(decoded.hidden[:, frame], x[:, frame // upsample])
        assert decoded.hidden.shape == (2, 4 * upsample, 3)
