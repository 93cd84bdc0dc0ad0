"""Registry of clip poolings: clip posteriors from frame posteriors.

A new pooling is a class that is constructed with a config, the decoder before it and the number of classes, and a line
of `CLIP_POOLINGS`. Letters such as (L) name sources: see sed/models/__init__.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from sed.models.decoders import Decoder, Directed, Summarising
from sed.registry import chosen

LOW, HIGH = 1e-7, 1.0
"""limits of clip posteriors and attention weights, those of (D) for the latter; LOW also keeps denominators above 0"""


class ClipInputs(NamedTuple):
    """Inputs of a clip pooling."""

    posteriors: Tensor
    """frame posteriors (batch, frames, classes)"""
    hidden: Tensor
    """input of the classifier (batch, frames, dim), under autocast maybe not in float32"""
    summary: Tensor | None = None
    """logits (batch, classes) of the decoder's summary, by the same classifier; None without a summary"""
    directions: Tensor | None = None
    """logits (2, batch, frames, classes) of the two directions of a `Directed` decoder; None for others"""


class ClipPooling(Protocol):
    """Protocol: a `torch.nn.Module` from `ClipInputs` to clip posteriors (batch, classes) in [1e-7, 1].

    The first dimension of its parameters, if it has any, is the class, as `Detector.OF_CLASSES` requires.
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
        "help": "pooling of frame posteriors to clip posteriors",
        "choices": CLIP_POOLINGS,
    },
}
OPTIONS_FROM = CLIP_POOLINGS


class WithoutParameters(nn.Module):
    """Base class of clip poolings without parameters."""

    def __init__(self, _config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:  # noqa: ARG002
        super().__init__()


class LinearSoftmax(WithoutParameters):
    """Linear softmax over frames: sum y^2 / sum y (L; P writes only "softmax")."""

    def forward(self, inputs: ClipInputs) -> Tensor:
        y = inputs.posteriors
        return (y.square().sum(1) / y.sum(1).clamp_min(LOW)).clamp(LOW, HIGH)


class AttentionPooling(nn.Module):
    """Attention of the DCASE baseline: per class, the mean of frame posteriors, weighted by the class's attention.

    The attention is a softmax over classes, not over frames, of a linear map of the decoder's output.
    """

    def __init__(self, _config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__()
        self.attention = nn.Linear(decoder.dim, classes)

    def forward(self, inputs: ClipInputs) -> Tensor:
        weights = self.attention(inputs.hidden.float()).softmax(-1).clamp(LOW, HIGH)
        return ((inputs.posteriors * weights).sum(1) / weights.sum(1)).clamp(LOW, HIGH)


class MeanClip(WithoutParameters):
    """Mean over frames."""

    def forward(self, inputs: ClipInputs) -> Tensor:
        return inputs.posteriors.mean(1).clamp(LOW, HIGH)


class MaxClip(WithoutParameters):
    """Maximum over frames."""

    def forward(self, inputs: ClipInputs) -> Tensor:
        return inputs.posteriors.amax(1).clamp(LOW, HIGH)


class TokenClip(WithoutParameters):
    """Posteriors that the classifier of frames gives for the decoder's summary, the class token of the Conformer."""

    def __init__(self, config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__(config, decoder=decoder, classes=classes)
        if not isinstance(decoder, Summarising):
            raise ValueError(f"clip_pooling token: decoder '{config['decoder']}' has no token (use decoder: conformer)")

    def forward(self, inputs: ClipInputs) -> Tensor:
        assert inputs.summary is not None
        return inputs.summary.sigmoid().clamp(LOW, HIGH)


class EndsClip(WithoutParameters):
    """Mean of both directions' posteriors where each has seen all frames: forward the last, backward the first."""

    def __init__(self, config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> None:
        super().__init__(config, decoder=decoder, classes=classes)
        if not isinstance(decoder, Directed):
            raise ValueError("clip_pooling ends needs a decoder with separate directions (use gru_directions: apart)")

    def forward(self, inputs: ClipInputs) -> Tensor:
        assert inputs.directions is not None
        ahead, back = inputs.directions.sigmoid()
        return ((ahead[:, -1] + back[:, 0]) / 2).clamp(LOW, HIGH)


def build_clip_pooling(config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> ClipPooling:
    """Build the clip pooling that a flat config names.

    Args:
        config: a flat config, whose other keys are ignored.
        decoder: the time decoder before it.
        classes: number of classes.

    Returns:
        The clip pooling.

    Raises:
        ValueError: the decoder lacks an output that the pooling needs.
    """
    pooling: ClipPooling = chosen(CLIP_POOLINGS, config["clip_pooling"], "clip_pooling")(
        config, decoder=decoder, classes=classes
    )
    return pooling
