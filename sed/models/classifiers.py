"""Last layer of a detector: logits of the classes from the output of the time decoder.

A published head is the last layer of a published detector; `class_merge` merges its classes into labels of a corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sed.models.apart_decoder import DirectionClassifier
from sed.models.decoders import Decoder, Directed
from sed.registry import chosen

MERGES = {"max": "sed.models.classifiers:highest", "noisy_or": "sed.models.classifiers:noisy_or"}
LEAST = 1e-30
"""lower limit of a merged class's posterior, whose logarithm is taken"""
OPTIONS = {
    "class_merge": {
        "default": "none",
        "help": "merge classes of a published head: max: highest logit; noisy_or: probability that any is active",
        "choices": ["none", "max", "noisy_or"],
    },
    "source_classes": {"default": 0, "help": "number of classes of the published head (class_merge)", "least": 0},
}


def highest(logits: Tensor, members: Tensor) -> Tensor:
    """Return the highest logit of each class's members.

    `logits` (..., sources) are those of the published head's classes, `members` (classes, sources) is True for those
    that belong to a class; the result is (..., classes).
    """
    return torch.stack([logits.masked_fill(~row, -torch.inf).amax(-1) for row in members], -1)


def noisy_or(logits: Tensor, members: Tensor) -> Tensor:
    """Return the logit of 1 - product over a class's members of (1 - posterior); shapes as in `highest`."""
    log_inactive = -(F.softplus(logits) @ members.to(logits.dtype).T)
    # The posterior, 1 - exp(log_inactive), is 2 t / (1 + t) with t = tanh(-log_inactive / 2): ONNX lacks expm1.
    tangent = torch.tanh(log_inactive.clamp_max(-LEAST) / -2)
    return torch.log(2 * tangent / (1 + tangent)) - log_inactive


class MergedClassifier(nn.Module):
    """Published head whose classes are merged: (batch, frames, dim) to logits (batch, frames, classes).

    `members` (classes, sources) marks the classes of the head that belong to each class. It is all False until a state
    dict is loaded or an importer sets it.
    """

    members: Tensor

    def __init__(self, *, dim: int, sources: int, classes: int, merge: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.head = nn.Linear(dim, sources)
        self.merge = merge
        self.register_buffer("members", torch.zeros(classes, sources, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(self.head(x), self.members)


def build_classifier(config: Mapping[str, Any], *, decoder: Decoder, classes: int) -> nn.Module:
    """Build the last layer of a flat config.

    Args:
        config: a flat config, whose other keys are ignored.
        decoder: the time decoder before it.
        classes: number of classes.

    Returns:
        The layer, from (batch, frames, dim) to logits (batch, frames, classes), or (2, batch, frames, classes) after a
        `Directed` decoder.

    Raises:
        ValueError: the values are inconsistent.
    """
    if config["class_merge"] == "none":
        kind = DirectionClassifier if isinstance(decoder, Directed) else nn.Linear
        return kind(decoder.dim, classes)
    if isinstance(decoder, Directed):
        raise ValueError("class_merge: published heads have no separate directions (use decoder: none)")
    if config["source_classes"] < 1:
        raise ValueError("class_merge without source_classes (give the number of classes of the published head)")
    merge = chosen(MERGES, config["class_merge"], "class_merge")
    return MergedClassifier(dim=decoder.dim, sources=config["source_classes"], classes=classes, merge=merge)
