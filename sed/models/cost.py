"""Cost of a model: products of a forward pass, as torch counts them; multiply-accumulates of a detector."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from sed.models.detector import Detector

BACKWARD = 2
"""cost of a backward pass in forward passes: each product has a gradient of its weights and one of its inputs"""


class Products(TorchDispatchMode):
    """Count of the matrix products and convolutions that are computed while it is active."""

    def __init__(self, parameters: set[int]) -> None:
        super().__init__()
        self.operations = 0
        """twice the multiply-adds"""
        self.values = 0
        """values that products read or write, without parameters: for memory traffic (`sed.training.roofline`)"""
        self._parameters = parameters  # addresses of their memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.operations += count(*args, **kwargs, out_val=out)
            for value in tree_leaves((args, out)):
                if isinstance(value, Tensor) and value.untyped_storage().data_ptr() not in self._parameters:
                    self.values += value.numel()
        return out


def products_of(module: nn.Module, call: Callable[[nn.Module], object], *, training: bool = False) -> Products:
    """Count the products of a forward pass. Attention is two of them: the math backend runs them separately.

    Args:
        module: the model, on any device; a copy of it is run on the CPU.
        call: runs its argument, that copy.
        training: run the copy in training mode instead of evaluation mode.

    Returns:
        The count.
    """
    model = copy.deepcopy(module).cpu().float().train(training)
    counter = Products({p.untyped_storage().data_ptr() for p in model.parameters()})
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        call(model)
    return counter


def multiply_accumulates(detector: Detector, mel_bins: int, *, training: bool = False) -> int:
    """Count the multiply-accumulates of a forward pass: matrix products and convolutions.

    Attention counts as its two matrix products. Front end, normalisation and activations are not counted. FDY-CRNN is
    counted as a CPU computes it: on a GPU, which convolves with each kernel, its published size has 11.9 instead of
    3.7 G.

    Args:
        detector: the detector, on any device; a copy of it is run on the CPU.
        mel_bins: mel bins of its features.
        training: count the pass of a training step, in which FB-CRNN's GRUs run once over the clip instead of also over
            a window around every frame.

    Returns:
        The number per clip.
    """
    clip = torch.zeros(1, detector.input_frames, mel_bins)
    return products_of(detector, lambda model: model(clip), training=training).operations // 2


def of_training(forward: int, clips: int, *, consistent: bool) -> int:
    """Estimate the multiply-accumulates of a training.

    The student runs forward and backward, the teacher forward if there is a consistency loss. A frozen encoder is
    counted as if it were trained, and recomputed activations are counted once.

    Args:
        forward: multiply-accumulates of a forward pass of training per clip.
        clips: number of clips over all steps.
        consistent: whether the teacher is evaluated.

    Returns:
        The multiply-accumulates.
    """
    return forward * clips * (1 + BACKWARD + consistent)
