"""The classifier of GPU training: a linear map of bf16 states with float32 accuracy, without copies of the states.

The states of the published AST-SED are 1,000 frames of 1,536 values per clip; in float32 they would be written and read
again for every product, and copied once more because the GRU's kernel has time as the first dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sed.models.detector import Detector, in_float32


def parts_of(x: Tensor) -> list[Tensor]:
    """Return three bf16 tensors whose sum is x, float32, to its last bit or two."""
    parts = []
    for _ in range(3):
        parts.append(x.to(torch.bfloat16))
        x = x - parts[-1].float()
    return parts


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of two bf16 matrices, summed and returned in float32."""
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()


class _Linear(torch.autograd.Function):
    """Linear map of bf16 rows (rows, dim) to float32 (rows, classes)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        found = product(rows, torch.cat(parts_of(weight)).t())
        return found.view(len(rows), 3, len(weight)).sum(1) + bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        # The product of the second parts, and all of the third ones, are below the rounding of the states' gradient,
        # which is bf16. The weight's gradient is float32, with `grad` to the 16 bits of its first two parts.
        high, low, _ = parts_of(grad)
        weight_high, weight_low, _ = parts_of(weight)
        of_rows = torch.mm(torch.cat([high, low, high], 1), torch.cat([weight_high, weight_high, weight_low]))
        of_weight = product(torch.cat([high, low], 1).t(), rows).view(2, *weight.shape).sum(0)
        return of_rows, of_weight, grad.sum(0)


def split_linear(classifier: nn.Module, hidden: Tensor) -> Tensor:
    """Apply a linear classifier to bf16 states as to float32 ones, any other by `in_float32`; see `RunClassifier`."""
    if type(classifier) is not nn.Linear or hidden.dtype != torch.bfloat16:
        return in_float32(classifier, hidden)
    by_time = hidden.transpose(0, 1)
    if not by_time.is_contiguous():
        return _Linear.apply(hidden.flatten(0, 1), classifier.weight, classifier.bias).unflatten(0, hidden.shape[:2])
    logits = _Linear.apply(by_time.flatten(0, 1), classifier.weight, classifier.bias)
    return logits.unflatten(0, by_time.shape[:2]).transpose(0, 1).contiguous()


@contextmanager
def classified_in_float32(detector: Detector) -> Iterator[None]:
    """Make a detector apply its classifier by `in_float32` within the context: the reference for `split_linear`."""
    before = detector.run_classifier
    detector.run_classifier = in_float32
    try:
        yield
    finally:
        detector.run_classifier = before
