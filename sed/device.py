"""Choose the device that an option names."""

from __future__ import annotations

import os

import torch

from sed.errors import UserError


def describe(device: torch.device) -> str:
    """Return a device's name for logs and results: `NVIDIA H100 80GB HBM3`, or `CPU, 4 threads`."""
    gpu = device.type == "cuda"
    return torch.cuda.get_device_name(device) if gpu else f"CPU, {torch.get_num_threads()} threads"


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device of a name: `cpu`, `cuda`, `cuda:1`, or `auto`: a GPU if there is one.

    A GPU without a number is that of number `local_rank`, the process's number on its machine.

    Raises:
        UserError: the device is unknown or not available; for `auto`, CUDA_VISIBLE_DEVICES names a GPU that torch
            cannot use.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        # Slurm sets NoDevFiles for jobs without a GPU.
        if name == "cpu" and visible not in ("", "-1", "NoDevFiles"):
            raise UserError(
                f"GPU {visible} does not answer (see nvidia-smi; on the CPU: --device cpu, scripts: --ngpu 0)"
            )
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # refused below, like all that are neither CPU nor CUDA
    if device.type not in ("cpu", "cuda") or str(device) != name:  # torch takes cuda:256 for cuda:0
        raise UserError(
            f"device '{name}': one of auto, cpu, cuda, cuda:1 is expected (--device auto takes what there is)"
        )
    if device.type == "cpu":
        return torch.device("cpu")  # without the number of `cpu:0`, since callers compare names
    if not torch.cuda.is_available():
        raise UserError("no GPU here that torch can use (give --device cpu)")
    number = local_rank if device.index is None else device.index
    if number >= torch.cuda.device_count():
        remedy = "lower --ngpu of the script" if device.index is None else "give another --device"
        raise UserError(f"{torch.cuda.device_count()} GPUs here, no number {number} ({remedy})")
    return torch.device("cuda", number)
