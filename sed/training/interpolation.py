"""Interpolation consistency training (ICT; Verma et al. 2019): mixtures of the teacher's outputs as targets.

The student's output for a mixture of two clips is to equal the mixture of the teacher's outputs for both. Without ICT,
student and teacher get the same mixtures; with it, the teacher gets the clips before mixing, and unlabelled clips are
mixed, too. The order is shift, time mask, mixing: both models see the same masks, and the teacher's outputs are shifted
and masked like the labels that are mixed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from sed.models.detector import DetectorOutput
from sed.training.augment import mix_labels

OPTIONS = {
    "interpolation_consistency": {
        "default": False,
        "help": "consistency of the student on mixtures with the mixed outputs of the teacher (ICT), on all clips",
    },
}


class Mixture(NamedTuple):
    """Partners and weights with which the clips of one kind (strong, weak or unlabelled) are mixed."""

    slots: int
    """number of slots of this kind (`inputs.StepInputs`): of the clips and, where they have slots, of their partners"""
    partner: Tensor
    """index among these slots of the clip that each clip is mixed with (clips,)"""
    weight: Tensor
    """mixing weight of the clip itself (clips,)"""
    added: Tensor | None = None
    """for which clips powers are mixed instead of amplitudes, and labels are united (clips,) bool; None: for none"""


def mix_posteriors(posteriors: Tensor, mixtures: Iterable[Mixture], labels: str) -> Tensor:
    """Mix posteriors like the labels of the same clips.

    Args:
        posteriors: (slots, ...), in the order of the mixtures.
        mixtures: mixing of the clips of each kind.
        labels: how labels are mixed, soft or hard; see `sed.training.augment.mix_labels`.

    Returns:
        Posteriors of the mixed clips (clips, ...).
    """
    mixed, first = [], 0
    for slots, partner, weight, added in mixtures:
        mixed.append(mix_labels(posteriors[first : first + slots], partner, weight, labels, added))
        first += slots
    return torch.cat(mixed)


def interpolated(teacher: DetectorOutput, mixtures: Iterable[Mixture], labels: str) -> DetectorOutput:
    """Return what the student should output for mixtures, from the teacher's output for the clips before mixing.

    Args:
        teacher: output for all slots.
        mixtures: mixing of the clips of each kind.
        labels: as in `mix_posteriors`.

    Returns:
        Output for the mixed clips, in float32; frame posteriors within 1e-6 of 0 or 1 are clamped, for finite logits.
    """
    mixtures = list(mixtures)
    frame = mix_posteriors(teacher.logits.float().sigmoid(), mixtures, labels)
    return DetectorOutput(frame.logit(eps=1e-6), mix_posteriors(teacher.clip.float(), mixtures, labels))
