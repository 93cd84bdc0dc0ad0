"""Data-parallel training by processes that torchrun starts, one per GPU or any number on CPUs: gradients are averaged.

Gradients are in a few flat tensors (sed/training/parameters.py), so averaging takes a few large all-reduces between
backward and update. The result is that of DistributedDataParallel, but the backward pass, which a CUDA graph contains,
has no communication.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from sed.errors import RunError, UserError, first_lines
from sed.parallel import launched


@dataclass(frozen=True)
class World:
    """Processes that train together: rank of this one, their number, and collective operations.

    With a single process, the operations change nothing.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """True for the process that writes files and logs."""
        return self.rank == 0

    def average(self, *tensors: torch.Tensor) -> None:
        """Replace tensors by their means over the processes."""
        if self.size == 1:
            return
        for tensor in tensors:
            if tensor.device.type == "cuda":
                dist.all_reduce(tensor, op=dist.ReduceOp.AVG)
            else:  # Gloo has no AVG
                dist.all_reduce(tensor)
                tensor /= self.size

    def copy_from_first(self, *tensors: torch.Tensor) -> None:
        """Replace tensors by those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.size == 1:
            return flag
        seen = torch.tensor([float(flag)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(seen, op=dist.ReduceOp.MAX)
        return bool(seen.item())

    def number_of_first(self, number: int) -> int:
        """Return, in every process, the number that the first process passed."""
        if self.size == 1:
            return number
        shared = torch.tensor([number], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.broadcast(shared, 0)
        return int(shared.item())

    def barrier(self) -> None:
        """Wait for every process."""
        if self.size > 1:
            dist.barrier()


def _check_environment(size: int) -> None:
    """Raise UserError if the environment does not describe a process group of `size`; torch would raise or wait."""
    if size < 1:
        raise UserError(f"WORLD_SIZE={size} in the environment: at least 1 is expected (unset it)")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name, "").strip():
            raise UserError(
                f"WORLD_SIZE={size} in the environment, but no {name} (start with sed.bin.launch, or unset WORLD_SIZE)"
            )
    launched("MASTER_PORT", 0)  # raises UserError if it is not a number
    if not (rank := launched("RANK", 0)) < size:
        raise UserError(
            f"RANK={rank} in the environment, of WORLD_SIZE={size} processes (0 to {size - 1} is expected: start with "
            "sed.bin.launch, or unset both)"
        )


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the process group that torchrun describes in the environment; with WORLD_SIZE 1 or unset, yield one process.

    Raises:
        UserError: WORLD_SIZE is set, but not the other variables, or their values do not fit.
        RunError: the processes do not reach one another.
    """
    size = launched("WORLD_SIZE", 1)
    if size == 1:
        yield World()
        return
    _check_environment(size)
    # Import before the group exists: torch._dynamo, which the optimiser imports, stores the default group, so that
    # Gloo's threads outlive the group; a thread that frees a tensor while Python shuts down aborts the process.
    import torch._dynamo

    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        if device.type == "cuda":
            dist.init_process_group("nccl", device_id=device)
        else:
            dist.init_process_group("gloo")
    except RuntimeError as error:  # such as a port in use, or processes that do not come
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunError(
            f"{size} processes cannot join at {where}: {first_lines(error)} (check MASTER_ADDR, or choose another "
            "MASTER_PORT)"
        ) from None
    yield World(dist.get_rank(), size)
    # Not after an error: leaving the group waits for the other processes, which may be waiting for this one in an
    # operation, so that the error would be reported minutes later or never. torchrun ends them.
    dist.destroy_process_group()
