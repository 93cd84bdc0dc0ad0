"""Batch norm of the descriptors of whole clips from which selective-kernel and dynamic convolutions get attention."""

from __future__ import annotations

from torch import Tensor, nn


class ClipNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` that accepts a single value per channel in training, and then uses running statistics.

    A descriptor has one value per channel and clip, in frequency dynamic convolution also per band. Torch refuses a
    batch with one value per channel in all, which has no variance.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels) or (batch, channels, bands) to the same shape."""
        if self.training and x.numel() == self.num_features:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        normed: Tensor = super().forward(x)
        return normed
