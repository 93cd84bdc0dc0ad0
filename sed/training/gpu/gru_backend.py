"""Which Bi-GRU a GPU training runs: the persistent kernel where it fits, else cuDNN's in bf16.

Autocast would hand cuDNN float16, in which the gradients of a mean over half a million frame posteriors vanish.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sed.models.detector import Detector


def use_bf16(detector: Detector) -> None:
    """Have the decoder's GRU compute in bf16 by cuDNN."""
    decoder = detector.decoder
    decoder.recur = lambda x: bf16_gru(decoder.gru, decoder.align(x))


@contextmanager
def by_cudnn(detector: Detector) -> Iterator[None]:
    """`use_bf16` for a while, without cuDNN's word that weights in a row would be faster."""
    recur = detector.decoder.recur
    use_bf16(detector)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        detector.decoder.recur = recur


def bf16_gru(gru: nn.GRU, x: Tensor) -> Tensor:
    """`gru` over x (clips, frames, dim) in bf16, whatever autocast says: (clips, frames, directions * units)."""
    directions = 2 if gru.bidirectional else 1
    with torch.autocast(x.device.type, enabled=False):
        weights = [w.to(torch.bfloat16) for w in gru._flat_weights]
        x = x.to(torch.bfloat16)
        state = x.new_zeros(gru.num_layers * directions, len(x), gru.hidden_size)
        dropout = gru.dropout if gru.training else 0.0
        return torch.gru(
            x,
            state,
            weights,
            gru.bias,
            gru.num_layers,
            dropout,
            gru.training,
            gru.bidirectional,
            gru.batch_first,
        )[0]


def use_persistent(detector: Detector) -> bool:
    """Have the decoder use the persistent kernel for the batches that it can run; whether that could be."""
    decoder = detector.decoder
    device = next(decoder.parameters()).device
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    from sed.training.gpu import persistent_gru

    if not persistent_gru.fits(decoder.gru, 1, device):
        return False

    def recur(x: Tensor) -> Tensor:
        if not persistent_gru.fits(decoder.gru, len(x), device):
            return bf16_gru(decoder.gru, decoder.align(x))
        return persistent_gru.bi_gru(decoder.gru, x[:, : decoder.frames], repeat=decoder.upsample)

    decoder.recur = recur
    return True
