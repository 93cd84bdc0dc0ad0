"""The mean teacher: a copy of the student that follows it by exponential moving average."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from sed.training.parameters import FlatParameters

Model = TypeVar("Model", bound=nn.Module)

SECTION = "mean teacher"
OPTIONS = {
    "ema_buffers": {
        "default": "average",
        "help": "the teacher's batch-norm statistics: averages (I) or copies of the student's, or its own (D, F)",
        "choices": ["average", "copy", "own"],
    },
}


def make_teacher(student: Model, *, buffers: str = "average") -> Model:
    """A copy of the student that takes no gradients.

    It runs in training mode as the student does (batch statistics, dropout), but unless `buffers` is own its batch
    norms gather no statistics: those buffers, too, are the student's.
    """
    teacher = copy.deepcopy(student)
    for module in teacher.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and buffers != "own":
            module.momentum = 0.0
    return teacher.requires_grad_(False)


class MovingAverage:
    """teacher = decay * teacher + (1 - decay) * student, for every trained parameter.

    What becomes of the buffers is `buffers`: average (float ones; the others, counters, are copied), copy, or own,
    which leaves them to the teacher. Frozen parameters equal the student's from the start and stay.
    """

    def __init__(
        self, student: nn.Module, student_flat: FlatParameters, teacher: nn.Module, *, buffers: str = "average"
    ) -> None:
        of_teacher = dict(teacher.named_parameters())
        groups = {g: {n: of_teacher[n] for n in names} for g, names in student_flat.names.items()}
        self._teacher = FlatParameters(groups, gradients=False).flat
        self._student_flat = student_flat
        self._student = {group: flat.detach() for group, flat in student_flat.flat.items()}
        of_student = dict(student.named_buffers())
        pairs = [(b, of_student[name]) for name, b in teacher.named_buffers()] if buffers != "own" else []
        self._averaged = [(t, s) for t, s in pairs if t.is_floating_point() and buffers == "average"]
        self._copied = [(t, s) for t, s in pairs if not (t.is_floating_point() and buffers == "average")]

    @property
    def flat(self) -> list[torch.Tensor]:
        """The teacher's flat parameters."""
        return list(self._teacher.values())

    @torch.no_grad()
    def update(self, weight: torch.Tensor) -> None:
        """Move the teacher by `weight` = 1 - decay, a tensor () where the teacher is."""
        for group, flat in self._teacher.items():
            if group in self._student_flat.learning:  # the others are the student's already
                flat.lerp_(self._student[group], weight)
        for teacher, student in self._averaged:
            teacher.lerp_(student, weight.to(teacher.dtype))
        for teacher, student in self._copied:
            teacher.copy_(student)
