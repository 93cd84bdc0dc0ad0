"""The objective: supervised cross-entropies and the mean teacher's consistency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from sed.models.detector import Detector, DetectorOutput
from sed.registry import chosen

PARTS = ("strong", "weak", "frame_consistency", "clip_consistency", "strong_tags")
OBJECTIVES = {
    "mean_teacher": "sed.training.losses:MeanTeacher",
    "forward_backward": "sed.training.forward_backward:ForwardBackward",
}

SECTION = "objective"
OPTIONS = {
    "objective": {
        "default": "mean_teacher",
        "help": "cross-entropies with or without consistency, or FB-CRNN's of both directions",
        "choices": OBJECTIVES,
    },
    "strong_weight": {"default": 1.0, "help": "weight of the frame cross-entropy of strong clips", "least": 0},
    "weak_weight": {"default": 0.5, "help": "weight of the clip cross-entropy of weak clips", "least": 0},
    "strong_tag_weight": {
        "default": 0.0,
        "help": "weight of the clip cross-entropy of strong clips, whose tags are those of their events",
        "least": 0,
    },
    "consistency_weight": {
        "default": 2.0,
        "help": "final weight of both student-teacher errors; 0: the teacher is only averaged, a faster step",
        "least": 0,
    },
    "frame_consistency_weight": {
        "default": 1.0,
        "help": "share of the frame posteriors' squared error in it",
        "least": 0,
    },
    "clip_consistency_weight": {
        "default": 1.0,
        "help": "share of the clip posteriors' squared error in it",
        "least": 0,
    },
}


def frame_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of frame logits against targets in [0, 1], both (clips, frames, classes).

    Targets that are NaN, which nobody knows, have no part in it.
    """
    known = ~targets.isnan()
    mean = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(), weight=known.to(logits.dtype))
    return mean * (known.numel() / known.sum().clamp_min(1))


def tags_of(frames: torch.Tensor) -> torch.Tensor:
    """Return the tags (clips, classes) of frame targets: present where any frame is, also if nobody knows which."""
    return frames.nan_to_num(nan=1.0).amax(1)


def clip_loss(posteriors: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of clip posteriors against targets in [0, 1], both (clips, classes).

    Written out: `binary_cross_entropy` refuses to run under autocast. The clamp is 1e-7 (L), as float32
    can hold it near 1.
    """
    p = posteriors.clamp(1e-7, 1 - 1e-7)
    return -(targets * p.log() + (1 - targets) * torch.log1p(-p)).mean()


def consistency(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the student's posteriors against the teacher's, which take no gradient."""
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
) -> tuple[torch.Tensor, torch.Tensor]:
    """Total loss () and its unweighted parts (5,) in the order of `PARTS`, in float32.

    Logits are (clips, frames, classes) and clip posteriors (clips, classes), clips ordered strong, weak, unlabelled;
    the targets' lengths say how many there are of the first two. `weights` (5,) weighs the parts.
    """
    strong, weak = len(strong_targets), len(weak_targets)
    zero = student_clip.new_zeros(())
    parts = torch.stack(
        [
            frame_loss(student_logits[:strong].float(), strong_targets) if strong else zero,
            clip_loss(student_clip[strong : strong + weak].float(), weak_targets) if weak else zero,
            consistency(torch.sigmoid(student_logits.float()), torch.sigmoid(teacher_logits.float())),
            consistency(student_clip.float(), teacher_clip.float()),
            clip_loss(student_clip[:strong].float(), tags_of(strong_targets)) if strong else zero,
        ]
    )
    # A part of weight 0 is left out even when it is not finite: 0 * nan would poison the rest.
    return torch.where(weights > 0, parts * weights, 0.0).sum(), parts.detach()


class Objective(Protocol):
    """What a step minimises; made of (config, student), ValueError where they do not fit.

    Called with the outputs of student and teacher and the targets of the strong and the weak clips, which come first in
    this order; returns the total loss () and its unweighted parts in the order of `PARTS`.
    """

    def __call__(
        self,
        student: DetectorOutput,
        teacher: DetectorOutput,
        *,
        strong_targets: torch.Tensor,
        weak_targets: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


class MeanTeacher:
    """`objective` of outputs."""

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
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return objective(
            student_logits=student.logits,
            student_clip=student.clip,
            teacher_logits=teacher.logits,
            teacher_clip=teacher.clip,
            strong_targets=strong_targets,
            weak_targets=weak_targets,
            weights=weights,
        )


def build_objective(config: Mapping[str, Any], student: Detector) -> Objective:
    """Build the objective that a flat config names; ValueError where it does not fit the student."""
    built: Objective = chosen(OBJECTIVES, config["objective"], "objective")(config, student)
    return built
