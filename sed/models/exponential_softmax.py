"""Clip posteriors as the mean over frames, weighted by the exponential of the frame posteriors."""

from __future__ import annotations

from torch import Tensor

from sed.models.clip_poolings import HIGH, LOW, ClipInputs, WithoutParameters


class ExponentialSoftmax(WithoutParameters):
    """Exponential softmax, sum y e^y / sum e^y.

    The AST-SED paper writes only "softmax"; `LinearSoftmax`, the default, is one interpretation, this is another.
    Posteriors are in [0, 1], so weights differ by at most a factor of e, and the result is close to the mean.
    """

    def forward(self, inputs: ClipInputs) -> Tensor:
        """Pool frames to (batch, classes)."""
        return (inputs.posteriors * inputs.posteriors.softmax(1)).sum(1).clamp(LOW, HIGH)
