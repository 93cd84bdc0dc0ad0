"""Training objectives: supervised cross-entropies and the consistency of the mean teacher.

Letters such as (L) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from sed.models.detector import Detector, DetectorOutput
from sed.registry import chosen

PARTS = ("strong", "weak", "frame_consistency", "clip_consistency", "strong_tags", "pseudo")
"""names of the terms of the loss: cross-entropy of strong frames and of weak tags, squared error of the student's frame
and clip posteriors against the teacher's, cross-entropy of strong clips' tags and of pseudo-labelled frames"""
OBJECTIVES = {
    "mean_teacher": "sed.training.losses:MeanTeacher",
    "forward_backward": "sed.training.forward_backward:ForwardBackward",
}

SECTION = "objective"
OPTIONS_FROM = ["sed.training.interpolation", "sed.training.pseudo_labels"]
OPTIONS = {
    "objective": {
        "default": "mean_teacher",
        "help": "mean_teacher: cross-entropies and consistency; forward_backward: FB-CRNN's tagging in both directions",
        "choices": OBJECTIVES,
    },
    "strong_weight": {
        "default": 1.0,
        "help": "weight of the frame cross-entropy of strong clips (I, from F)",
        "least": 0,
    },
    "weak_weight": {"default": 0.5, "help": "weight of the clip cross-entropy of weak clips (I, from F)", "least": 0},
    "strong_tag_weight": {
        "default": 0.0,
        "help": "weight of the clip cross-entropy of strong clips, with the tags of their events",
        "least": 0,
    },
    "consistency_weight": {
        "default": 2.0,
        "help": "weight of both consistency losses after the ramp (I, from F); 0: faster, the teacher is not evaluated",
        "least": 0,
    },
    "frame_consistency_weight": {
        "default": 1.0,
        "help": "further factor of the consistency loss of frame posteriors (squared error)",
        "least": 0,
    },
    "clip_consistency_weight": {
        "default": 1.0,
        "help": "further factor of the consistency loss of clip posteriors (squared error)",
        "least": 0,
    },
}


def frame_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy () of logits against targets in [0, 1], both (clips, [frames,] classes).

    Targets that are NaN (unknown) are left out of the mean; it is 0 if all are.
    """
    known = ~targets.isnan()
    # The mean over all targets, with unknown ones as 0; scaled below to the mean over the known ones.
    mean = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), weight=known.to(logits.dtype))
    return mean * (known.numel() / known.sum().clamp_min(1))


def tags_of(frames: torch.Tensor) -> torch.Tensor:
    """Return the tags (clips, classes) of frame targets: their maximum over time, where unknown (NaN) counts as 1.

    A frame is unknown if its class occurs in the clip at an unknown time.
    """
    return frames.nan_to_num(nan=1.0).amax(1)


def clip_loss(posteriors: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy () of posteriors against targets in [0, 1], both (clips, classes).

    It is written out so that it may also be called under autocast, which refuses torch's `binary_cross_entropy`.
    Posteriors are clamped to [1e-7, 1 - 1e-7] (L): float32 still distinguishes the upper limit from 1.
    """
    p = posteriors.clamp(1e-7, 1 - 1e-7)
    return -(targets * p.log() + (1 - targets) * torch.log1p(-p)).mean()


def consistency(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error () of the student's posteriors against the teacher's, which get no gradient."""
    return F.mse_loss(student, teacher.detach())


def objective(
    *,
    student_logits: torch.Tensor,
    student_clip: torch.Tensor,
    teacher_logits: torch.Tensor,
    teacher_clip: torch.Tensor,
    strong_targets: torch.Tensor,
    weak_targets: torch.Tensor,
    weights: torch.Tensor,
    pseudo_targets: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the loss of the mean teacher, in float32. Clips are in the order strong, weak, unlabelled.

    Args:
        student_logits: (clips, frames, classes).
        student_clip: clip posteriors (clips, classes).
        teacher_logits: (clips, frames, classes).
        teacher_clip: clip posteriors (clips, classes).
        strong_targets: (strong clips, frames, classes), 0 or 1, or in between after mixup or for soft labels; NaN:
            unknown.
        weak_targets: (weak clips, classes), in [0, 1].
        weights: weights (6,) of `PARTS`.
        pseudo_targets: pseudo-labels (clips, frames, classes), in [0, 1]; NaN: unknown; None or (0, ...): none.

    Returns:
        The total loss (), and its unweighted parts (6,) in the order of `PARTS`, without gradients.
    """
    strong, weak = len(strong_targets), len(weak_targets)
    zero, logits = student_clip.new_zeros(()), student_logits.float()
    parts = torch.stack(
        [
            frame_loss(logits[:strong], strong_targets) if strong else zero,
            clip_loss(student_clip[strong : strong + weak].float(), weak_targets) if weak else zero,
            consistency(torch.sigmoid(logits), torch.sigmoid(teacher_logits.float())),
            consistency(student_clip.float(), teacher_clip.float()),
            clip_loss(student_clip[:strong].float(), tags_of(strong_targets)) if strong else zero,
            zero if pseudo_targets is None or not len(pseudo_targets) else frame_loss(logits, pseudo_targets),
        ]
    )
    # Not the product alone: if a part of weight 0 overflowed, 0 times infinity would make the total NaN.
    return torch.where(weights > 0, parts * weights, 0.0).sum(), parts.detach()


class Objective(Protocol):
    """Protocol of training objectives.

    A class of `OBJECTIVES` is constructed with (config, student) and raises ValueError if they do not fit. The call
    computes the loss from the outputs of student and teacher for all clips, in the order strong, weak, unlabelled, and
    from the targets: those of strong clips, those of weak clips, and the pseudo-labels of all clips, if any. It returns
    the total loss () and its unweighted parts (6,) in the order of `PARTS`; `weights` (6,) are their weights. Shapes
    are those of `objective`.
    """

    def __call__(
        self,
        student: DetectorOutput,
        teacher: DetectorOutput,
        *,
        strong_targets: torch.Tensor,
        weak_targets: torch.Tensor,
        weights: torch.Tensor,
        pseudo_targets: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


class MeanTeacher:
    """`Objective` of the mean teacher; see `objective`."""

    def __init__(self, _config: Mapping[str, Any], _student: Detector) -> None:
        pass

    def __call__(
        self,
        student: DetectorOutput,
        teacher: DetectorOutput,
        *,
        strong_targets: torch.Tensor,
        weak_targets: torch.Tensor,
        weights: torch.Tensor,
        pseudo_targets: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return objective(
            student_logits=student.logits,
            student_clip=student.clip,
            teacher_logits=teacher.logits,
            teacher_clip=teacher.clip,
            strong_targets=strong_targets,
            weak_targets=weak_targets,
            weights=weights,
            pseudo_targets=pseudo_targets,
        )


def build_objective(config: Mapping[str, Any], student: Detector) -> Objective:
    """Build the objective that a flat config names.

    Raises:
        ValueError: it does not fit the student.
    """
    built: Objective = chosen(OBJECTIVES, config["objective"], "objective")(config, student)
    return built
