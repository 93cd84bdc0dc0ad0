"""Roofline of a model: the operations and bytes that it needs at least, and the time that these take on a device.

Operations are those of matrix products, convolutions and attention. Bytes are the inputs and outputs of these products,
each read or written once, and the parameters; other operations are taken as fused with a product. A kernel that keeps
values on the chip from one product to the next, as in the GRU's time steps, can need fewer bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from sed.models.cost import products_of


@dataclass(frozen=True)
class Work:
    """Operations and bytes that a computation needs at least."""

    operations: float = 0.0
    """twice the multiply-adds"""
    bytes: float = 0.0
    """bytes read and written in the device's memory"""

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.operations * times, self.bytes * times)


@dataclass(frozen=True)
class Limits:
    """Measured limits of a device."""

    operations: float
    """operations per second of a large matrix product"""
    bytes: float
    """bytes per second, read and written, of a large copy"""

    def milliseconds(self, work: Work) -> float:
        """Return the shortest time for the work: the larger of those of its operations and of its bytes."""
        return 1e3 * max(work.operations / self.operations, work.bytes / self.bytes)


def forward_work(module: nn.Module, call: Callable[[nn.Module], object], *, clips: int, value_bytes: int) -> Work:
    """Count a forward pass.

    Args:
        module: the model, on any device; a copy of it is run on the CPU.
        call: runs its argument, that copy, on a batch of one clip.
        clips: clips of the batch for which the work is returned.
        value_bytes: bytes of an activation, and of a parameter as products read it.

    Returns:
        The work of a pass over `clips` clips.
    """
    counter = products_of(module, call)
    values = counter.values * clips + sum(p.numel() for p in module.parameters())
    return Work(counter.operations * clips, values * value_bytes)


def update_work(parameters: int) -> Work:
    """Return the work of AdamW and the teacher's average for float32 parameters.

    Gradients are read; parameters, both moments and the teacher's parameters are read and written.
    """
    return Work(bytes=4 * 9 * parameters)
