"""The registry of clip poolings: clip posteriors from frame posteriors.

A new one is a class with a function that builds it for a width and a number of classes, and a line of `CLIP_POOLINGS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from sed.registry import chosen

LOW, HIGH = 1e-7, 1.0


class ClipPooling(Protocol):
    """A `torch.nn.Module`: frame posteriors (batch, frames, classes), and what their logits were computed from
    (batch, frames, dim) -> clip posteriors (batch, classes) in [1e-7, 1].

    Rows of its parameters, if it has any, are classes.
    """

    def __call__(self, posteriors: Tensor, hidden: Tensor, /) -> Tensor: ...


CLIP_POOLINGS = {
    "linear_softmax": "sed.models.clip_poolings:LinearSoftmax",
    "attention": "sed.models.clip_poolings:AttentionPooling",
    "mean": "sed.models.clip_poolings:MeanClip",
    "max": "sed.models.clip_poolings:MaxClip",
}
OPTIONS = {
    "clip_pooling": {
        "default": "linear_softmax",
        "help": "clip posteriors from frame posteriors",
        "choices": CLIP_POOLINGS,
    },
}
OPTIONS_FROM = CLIP_POOLINGS


class _WithoutParameters(nn.Module):
    def __init__(self, _config: Mapping[str, Any], **_sizes: int) -> None:
        super().__init__()


class LinearSoftmax(_WithoutParameters):
    """sum y^2 / sum y (P says "softmax", L)."""

    def forward(self, posteriors: Tensor, _hidden: Tensor) -> Tensor:
        return (posteriors.square().sum(1) / posteriors.sum(1).clamp_min(LOW)).clamp(LOW, HIGH)


class AttentionPooling(nn.Module):
    """The DCASE baseline's: weights are a softmax over the classes of a second linear map of the decoder's output."""

    def __init__(self, _config: Mapping[str, Any], *, dim: int, classes: int) -> None:
        super().__init__()
        self.attention = nn.Linear(dim, classes)

    def forward(self, posteriors: Tensor, hidden: Tensor) -> Tensor:
        weights = self.attention(hidden).softmax(-1).clamp(LOW, 1.0)
        return ((posteriors * weights).sum(1) / weights.sum(1)).clamp(LOW, HIGH)


class MeanClip(_WithoutParameters):
    """Mean over the frames."""

    def forward(self, posteriors: Tensor, _hidden: Tensor) -> Tensor:
        return posteriors.mean(1).clamp(LOW, HIGH)


class MaxClip(_WithoutParameters):
    """Highest of the frames."""

    def forward(self, posteriors: Tensor, _hidden: Tensor) -> Tensor:
        return posteriors.amax(1).clamp(LOW, HIGH)


def build_clip_pooling(config: Mapping[str, Any], *, dim: int, classes: int) -> ClipPooling:
    """Build the clip pooling that a flat config names.

    Args:
        config: A flat config, whose other keys are left alone.
        dim: Width of the decoder's output.
        classes: Number of classes.
    """
    pooling: ClipPooling = chosen(CLIP_POOLINGS, config["clip_pooling"], "clip_pooling")(
        config, dim=dim, classes=classes
    )
    return pooling
