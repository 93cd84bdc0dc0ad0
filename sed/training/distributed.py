"""Several processes, one a GPU (or a CPU), started by torchrun: the same global batch, gradients averaged.

Gradients lie in a few flat tensors, so averaging them is a few large all-reduces between backward and update. That
equals DistributedDataParallel, whose hooks would stand in the way of a CUDA graph over the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from sed.parallel import launched


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def average(self, *tensors: torch.Tensor) -> None:
        """Replace tensors by their means over the processes."""
        if self.size == 1:
            return
        for tensor in tensors:
            if tensor.device.type == "cuda":
                dist.all_reduce(tensor, op=dist.ReduceOp.AVG)
            else:
                dist.all_reduce(tensor)
                tensor /= self.size

    def copy_from_first(self, *tensors: torch.Tensor) -> None:
        """Replace tensors by those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        seen = torch.tensor([float(flag)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(seen, op=dist.ReduceOp.MAX)
        return bool(seen.item())

    def told_by_first(self, number: int) -> int:
        """The first process's number."""
        if self.size == 1:
            return number
        told = torch.tensor([number], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.broadcast(told, 0)
        return int(told.item())

    def barrier(self) -> None:
        """Wait for every process."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started (its environment variables say so); alone otherwise."""
    size = launched("WORLD_SIZE", 1)
    if size == 1:
        yield World()
        return
    # Before the group: importing it afterwards (the optimiser does) binds the group as a default argument, which keeps
    # Gloo's threads past the group's end; one that frees a tensor while Python shuts down aborts the process.
    import torch._dynamo

    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    yield World(dist.get_rank(), size)
    # Not after an error: leaving waits for the others, who may be waiting for what this process did not do, and the
    # error would be told minutes later or never. torchrun ends them.
    dist.destroy_process_group()
