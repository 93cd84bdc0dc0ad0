"""The registry of clip poolings: clip posteriors from frame posteriors.

A new one is a class that is made of a config, the decoder whose outputs it sees and the number of classes, and a line
of `CLIP_POOLINGS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from sed.models.decoders import Decoder, Directed, Summarising
from sed.registry import chosen

LOW, HIGH = 1e-7, 1.0


class ClipInputs(NamedTuple):
    """What a clip pooling may look at."""

    posteriors: Tensor
    """of frames (batch, frames, classes)"""
    hidden: Tensor
    """what their logits were computed from (batch, frames, dim)"""
    summary: Tensor | None = None
    """logits (batch, classes) that the same classifier gives the decoder's summary; None where it has none"""
    directions: Tensor | None = None
    """logits (2, batch, frames, classes) of recurrences that stay apart; None where they do not"""


class ClipPooling(Protocol):
    """A `torch.nn.Module`: `ClipInputs` -> clip posteriors (batch, classes) in [1e-7, 1].

    Rows of its parameters, if it has any, are classes.
    """

    def __call__(self, inputs: ClipInputs, /) -> Tensor: ...


CLIP_POOLINGS = {
    "linear_softmax": "sed.models.clip_poolings:LinearSoftmax",
    "exponential_softmax": "sed.models.exponential_softmax:ExponentialSoftmax",
    "time_softmax": "sed.models.time_softmax:TimeSoftmax",
    "attention": "sed.models.clip_poolings:AttentionPooling",
    "mean": "sed.models.clip_poolings:MeanClip",
    "max": "sed.models.clip_poolings:MaxClip",
    "token": "sed.models.clip_poolings:TokenClip",
    "ends": "sed.models.clip_poolings:EndsClip",
}
OPTIONS = {
    "clip_pooling": {
        "default": "linear_softmax",
        "help": "clip posteriors from frame posteriors",
        "choices": CLIP_POOLINGS,
    },
}
OPTIONS_FROM = CLIP_POOLINGS


class WithoutParameters(nn.Module):
    """A clip pooling that learns nothing."""

    def __init__(self, _config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:  # noqa: ARG002
        super().__init__()


class LinearSoftmax(WithoutParameters):
    """sum y^2 / sum y (P says "softmax", L)."""

    def forward(self, inputs: ClipInputs) -> Tensor:
        y = inputs.posteriors
        return (y.square().sum(1) / y.sum(1).clamp_min(LOW)).clamp(LOW, HIGH)


class AttentionPooling(nn.Module):
    """The DCASE baseline's: weights are a softmax over the classes of a second linear map of the decoder's output."""

    def __init__(self, _config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__()
        self.attention = nn.Linear(decoder.dim, classes)

    def forward(self, inputs: ClipInputs) -> Tensor:
        weights = self.attention(inputs.hidden).softmax(-1).clamp(LOW, 1.0)
        return ((inputs.posteriors * weights).sum(1) / weights.sum(1)).clamp(LOW, HIGH)


class MeanClip(WithoutParameters):
    """Mean over the frames."""

    def forward(self, inputs: ClipInputs) -> Tensor:
        return inputs.posteriors.mean(1).clamp(LOW, HIGH)


class MaxClip(WithoutParameters):
    """Highest of the frames."""

    def forward(self, inputs: ClipInputs) -> Tensor:
        return inputs.posteriors.amax(1).clamp(LOW, HIGH)


class TokenClip(WithoutParameters):
    """What the classifier of the frames says of the decoder's summary: the class token of the Conformer."""

    def __init__(self, config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__(config, decoder=decoder, classes=classes)
        if not isinstance(decoder, Summarising):
            raise ValueError(f"clip_pooling token: decoder '{config['decoder']}' has no token (use decoder: conformer)")

    def forward(self, inputs: ClipInputs) -> Tensor:
        assert inputs.summary is not None
        return inputs.summary.sigmoid().clamp(LOW, HIGH)


class EndsClip(WithoutParameters):
    """Mean of what both recurrences say once they have seen the whole clip, at its end and at its start."""

    def __init__(self, config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__(config, decoder=decoder, classes=classes)
        if not isinstance(decoder, Directed):
            raise ValueError("clip_pooling ends: the recurrences are not apart (use gru_directions: apart)")

    def forward(self, inputs: ClipInputs) -> Tensor:
        assert inputs.directions is not None
        ahead, back = inputs.directions.sigmoid()
        return ((ahead[:, -1] + back[:, 0]) / 2).clamp(LOW, HIGH)


def build_clip_pooling(config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> ClipPooling:
    """Build the clip pooling that a flat config names.

    Args:
        config: A flat config, whose other keys are left alone.
        decoder: The time decoder whose outputs it pools.
        classes: Number of classes.

    Raises:
        ValueError: The decoder does not give what the pooling needs.
    """
    pooling: ClipPooling = chosen(CLIP_POOLINGS, config["clip_pooling"], "clip_pooling")(
        config, decoder=decoder, classes=classes
    )
    return pooling
