"""Mean teacher: a copy of the student, updated by exponential moving average.

Letters such as (I) name sources: see egs/desed/README.md.
"""

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
        "help": "the teacher's batch-norm statistics: moving average (I) or copy of the student's, or its own (D, F)",
        "choices": ["average", "copy", "own"],
    },
}


def make_teacher(student: Model, *, buffers: str = "average") -> Model:
    """Return a copy of the student that requires no gradients.

    Training runs it in training mode like the student (batch statistics, dropout). Unless `buffers` is own, its batch
    norms do not update their running statistics (momentum 0), because `MovingAverage` sets them from the student's.
    """
    teacher = copy.deepcopy(student)
    for module in teacher.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and buffers != "own":
            module.momentum = 0.0
    return teacher.requires_grad_(False)


class MovingAverage:
    """Exponential moving average: teacher = decay * teacher + (1 - decay) * student, for every trained parameter.

    `buffers` says how the teacher's buffers (batch-norm statistics) are updated: average (counters, which are integers,
    are copied), copy, or own (not from the student's). Parameters that are not trained are equal to the student's and
    are left out.
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
        """Flat parameters of the teacher."""
        return list(self._teacher.values())

    @torch.no_grad()
    def update(self, weight: torch.Tensor) -> None:
        """Move the teacher towards the student by `weight` = 1 - decay, a tensor () on the teacher's device."""
        for group, flat in self._teacher.items():
            if group in self._student_flat.learning:  # frozen groups are equal to the student's
                flat.lerp_(self._student[group], weight)
        for teacher, student in self._averaged:
            teacher.lerp_(student, weight.to(teacher.dtype))
        for teacher, student in self._copied:
            teacher.copy_(student)
