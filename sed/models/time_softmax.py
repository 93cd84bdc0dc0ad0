"""Clip posteriors by attention whose weights are a softmax over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sed.models.clip_poolings import HIGH, LOW, ClipInputs
from sed.models.decoders import Decoder


class TimeSoftmax(nn.Module):
    """Mean of the frame posteriors, with a softmax over time of a linear map of the decoder's output as weights.

    The AST-SED paper writes only "softmax"; `LinearSoftmax`, the default, is one interpretation, this is another. The
    softmax of `clip_pooling: attention` is over classes instead, so that a class has little weight in frames where
    another one dominates.
    """

    def __init__(self, _config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__()
        self.attention = nn.Linear(decoder.dim, classes)

    def forward(self, inputs: ClipInputs) -> Tensor:
        """Pool frames to (batch, classes)."""
        return (inputs.posteriors * self.attention(inputs.hidden.float()).softmax(1)).sum(1).clamp(LOW, HIGH)
