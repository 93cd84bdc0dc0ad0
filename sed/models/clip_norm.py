"""Batch norm of what a convolution knows of whole clips."""

from __future__ import annotations

from torch import Tensor, nn


class ClipNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` that also trains on a single value per channel, by the running statistics.

    A descriptor of a clip is one value per channel and clip: a batch of one has no deviation, which torch refuses.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels) or (batch, channels, bands) to the same shape."""
        if self.training and x.numel() == self.num_features:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        normed: Tensor = super().forward(x)
        return normed
