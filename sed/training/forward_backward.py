"""Objective of FB-CRNN (Ebbers and Haeb-Umbach 2021): forward and backward tagging at every frame.

If a class occurs in a clip, then at any frame t it has begun by t, or it occurs from t on, or both. So at each frame
the larger of the two directions is trained towards the tag. For a class whose events in the clip are known, the forward
direction is trained to output 1 from the first onset on, and the backward direction up to the last offset. Classes
whose tag is unknown are left out of the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sed.models.decoders import Directed
from sed.models.detector import Detector, DetectorOutput
from sed.training.losses import PARTS, tags_of

ABSENT, PRESENT = 0.01, 0.99
"""targets up to the first are rounded to 0, from the second on to 1; those in between (such as from mixup) are ignored.
The values are pb_sed's, the authors' code (source E in egs/desed/README.md)."""


def known(targets: Tensor) -> Tensor:
    """Return where targets are about 0 or 1, rather than soft (such as from mixup) or NaN (unknown)."""
    return (targets <= ABSENT) | (targets >= PRESENT)


def class_losses(directions: Tensor, tags: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute each class's loss in each clip.

    Args:
        directions: logits (2, clips, frames, classes), forward and backward.
        tags: targets (clips, classes); those that are not `known` are ignored.
        frames: targets (clips, frames, classes) of strong clips; None: only tags are known.

    Returns:
        The losses, each a mean over frames, 0 where the tag is unknown; and whether the tag is known. Both (clips,
        classes).
    """
    is_known = known(tags)
    tags = torch.where(is_known, tags, 0.0).round()
    larger = directions.amax(0)
    losses = F.binary_cross_entropy_with_logits(larger, tags[:, None].expand_as(larger), reduction="none")
    if frames is not None:
        bounded = is_known & (tags > 0.5) & known(frames).all(1)  # classes whose onsets and offsets are known
        active = (torch.where(bounded[:, None], frames, 0.0) > 0.5).to(losses.dtype)
        begun, to_come = active.cummax(1).values, active.flip(1).cummax(1).values.flip(1)
        by_direction = F.binary_cross_entropy_with_logits(directions, torch.stack([begun, to_come]), reduction="none")
        losses = torch.where(bounded[:, None], by_direction.mean(0), losses)
    return losses.mean(1) * is_known, is_known


class ForwardBackward:
    """`sed.training.losses.Objective`: mean loss over the known tags of strong and weak clips.

    In the mean, strong clips have the first of `weights` and weak clips the second; the other parts are 0.
    """

    def __init__(self, config: Mapping[str, Any], student: Detector) -> None:
        if not isinstance(student.decoder, Directed):
            raise ValueError(
                "objective forward_backward needs a decoder with separate directions (gru_directions: apart)"
            )
        if config["consistency_weight"] > 0:
            raise ValueError("objective forward_backward has no consistency (consistency_weight: 0)")
        if config["pseudo_weight"] > 0:
            raise ValueError("objective forward_backward has no cross-entropy of pseudo-labels (pseudo_weight: 0)")
        if config["strong_tag_weight"] > 0:
            raise ValueError("objective forward_backward has no separate loss of strong tags (strong_tag_weight: 0)")

    def __call__(
        self,
        student: DetectorOutput,
        teacher: DetectorOutput,  # noqa: ARG002 (of the protocol)
        *,
        strong_targets: Tensor,
        weak_targets: Tensor,
        weights: Tensor,
        pseudo_targets: Tensor | None = None,  # noqa: ARG002 (of the protocol)
    ) -> tuple[Tensor, Tensor]:
        assert student.directions is not None
        directions, strong = student.directions.float(), len(strong_targets)
        total, count = directions.new_zeros(()), directions.new_zeros(())
        parts = [directions.new_zeros(())] * len(PARTS)
        of_strong = directions[:, :strong], tags_of(strong_targets), strong_targets
        of_weak = directions[:, strong : strong + len(weak_targets)], weak_targets, None
        for part, (logits, tags, frames) in enumerate((of_strong, of_weak)):
            if len(tags):
                losses, is_known = class_losses(logits, tags, frames)
                parts[part] = losses.detach().sum() / is_known.sum().clamp_min(1)
                total = total + weights[part] * losses.sum()
                count = count + weights[part] * is_known.sum()
        return total / count.clamp_min(1e-6), torch.stack(parts)  # 1e-6: against division by 0 if no tag is known
