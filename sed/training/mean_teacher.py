"""The mean teacher: a copy of the student that follows it by exponential moving average."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from sed.training.parameters import FlatParameters

Model = TypeVar("Model", bound=nn.Module)


def make_teacher(student: Model) -> Model:
    """A copy of the student that takes no gradients.

    It runs in training mode as the student does (batch statistics, dropout), but its batch norms do not gather
    statistics of their own: those buffers, too, are averages of the student's.
    """
    teacher = copy.deepcopy(student)
    for module in teacher.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
    return teacher.requires_grad_(False)


class MovingAverage:
    """teacher = decay * teacher + (1 - decay) * student, for every trained parameter and every float buffer.

    Other buffers (counters) are copied. Frozen parameters equal the student's from the start and stay.
    """

    def __init__(self, student: nn.Module, student_flat: FlatParameters, teacher: nn.Module) -> None:
        of_teacher = dict(teacher.named_parameters())
        groups = {g: {n: of_teacher[n] for n in names} for g, names in student_flat.names.items()}
        self._teacher = FlatParameters(groups, gradients=False).flat
        self._student_flat = student_flat
        self._student = {group: flat.detach() for group, flat in student_flat.flat.items()}
        buffers = dict(student.named_buffers())
        pairs = [(b, buffers[name]) for name, b in teacher.named_buffers()]
        self._averaged = [(t, s) for t, s in pairs if t.is_floating_point()]
        self._copied = [(t, s) for t, s in pairs if not t.is_floating_point()]

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
