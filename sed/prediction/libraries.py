"""Load what the first recording needs on a GPU in a thread, while the weights of the model are read."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial


def _kernels_of_attention() -> None:
    """Import Triton, and compute the key of its cache: a checksum of all its code, 400 MB."""
    importlib.import_module("triton.language")
    importlib.import_module("triton.runtime.cache").triton_key()


def _kernel_of_gru() -> None:
    importlib.import_module("cuda.bindings.nvrtc")
    importlib.import_module("cuda.bindings.driver")


def _median_filter() -> None:
    importlib.import_module("scipy.ndimage")


def _matrix_products(device: str) -> None:
    """Create the context of the GPU and the handle of cuBLAS."""
    import torch

    for kind in (torch.float32, torch.bfloat16):
        x = torch.ones(16, 16, dtype=kind, device=device)
        torch.nn.functional.linear(x, x)


def loads(device: str, *, bf16: bool) -> list[Callable[[], object]]:
    """Return the functions that load what a detector and its post-processing need on a device; none for a CPU.

    The fused attention does not run in float32 (`sed.models.short_attention.usable`).
    """
    if device == "cpu":
        return []
    needed: list[Callable[[], object]] = [_kernel_of_gru, partial(_matrix_products, device), _median_filter]
    return [_kernels_of_attention, *needed] if bf16 else needed


@contextmanager
def loading(functions: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Run functions one after the other in a thread beside the block; at the block's end, wait for the last of them.

    What is missing or fails is left to its first use, which reports it.
    """

    def work() -> None:
        for load in functions:
            with suppress(Exception):
                load()

    thread = threading.Thread(target=work, name="loading")
    thread.start()
    try:
        yield
    finally:
        thread.join()
