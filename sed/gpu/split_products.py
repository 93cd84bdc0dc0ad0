"""Products of float32 matrices by a GPU's tensor cores, which are several times as fast as its float32 units.

Tensor cores multiply TF32 values, whose fraction has 10 bits instead of 23. Each float32 value is therefore taken as
the sum of a TF32 value and a rest, which a tensor core rounds to TF32 itself, and a product of two is three products:
that of the two rests is left out. This omission and the rounding of the rests are errors of about 2^-22 of the result.

A larger error is that of the sum: a tensor core cuts off the bits of each summand that are below the last bit of the
sum so far (seen on an H200). The two products with rests are therefore summed first, while the sum is small: for 768
inputs this makes the mean error 4 times that of float32 products on the same GPU instead of 18 times, for 3072 inputs 8
times instead of 36.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

product = F.linear  # of the parts; a name of its own, which tests replace by a CPU's imitation of tensor cores
HALF, KEPT = 1 << 12, -1 << 13  # in a float32 word: half of the last bit that TF32 has, and the mask of its bits


@functools.cache
def faster(device: torch.device) -> bool:
    """Return whether three TF32 products take less time than a float32 product: on A100, Hopper and B200.

    Other GPUs have tensor cores that are at most twice as fast as their float32 units, or none for TF32.
    """
    return device.type == "cuda" and torch.cuda.get_device_capability(device) in ((8, 0), (9, 0), (10, 0))


def parted(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the TF32 values nearest to float32 values, and the rests."""
    value = (x.view(torch.int32) + HALF & KEPT).view(torch.float32)
    return value, x - value


class SplitProducts(TorchFunctionMode):
    """Context in which `F.linear`, without gradients, computes float32 products as three TF32 products where `faster`.

    The parts of a parameter are kept from its first use on: it must not change after that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights: dict[nn.Parameter, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and args[0].dtype == torch.float32 and faster(args[0].device):
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        value, rest = parted(input.contiguous())
        x = torch.cat([rest, value, value], -1)
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True
        try:
            return product(x, self._of_weight(weight), bias)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed

    def _of_weight(self, weight: Tensor) -> Tensor:
        if isinstance(weight, nn.Parameter) and weight in self._weights:
            return self._weights[weight]
        value, rest = parted(weight.detach().contiguous())
        found = torch.cat([value, rest, value], 1)  # the small products first
        if isinstance(weight, nn.Parameter):
            self._weights[weight] = found
        return found
