"""Audio in memory: arrays of samples as blocks, like those of a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sed.data.audio import BLOCK
from sed.errors import UserError


def mono_blocks(samples: np.ndarray, name: str) -> Iterator[np.ndarray]:
    """Yield an array of samples as mono float32 blocks (n,).

    Args:
        samples: (samples,), (samples, channels) or (channels, samples): the shorter axis holds the channels. Floating
            point in [-1, 1], or integers of up to 32 bits, whose full scale becomes 1.
        name: of the array, for messages.

    Raises:
        UserError: another type or shape, no samples, or values that are not finite.
    """
    samples = np.asarray(samples)
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.ndim not in (1, 2) or not samples.size:
        raise UserError(f"{name}: an array of shape {samples.shape} ((samples,) or (samples, channels) is expected)")
    if samples.dtype.kind not in "fiu":
        raise UserError(f"{name}: samples of type {samples.dtype} (floating point or integers are expected)")
    if (
        samples.dtype.kind != "f" and samples.dtype.itemsize > 4
    ):  # int64 is what NumPy makes of a list of Python's integers
        raise UserError(
            f"{name}: samples of type {samples.dtype}, whose full scale is unknown (int16, int32 or floating point)"
        )
    offset, scale = _scaling(samples.dtype)
    for start in range(0, len(samples), BLOCK):
        block = (samples[start : start + BLOCK].astype(np.float32) - np.float32(offset)) * np.float32(scale)
        block = block if block.ndim == 1 else block.mean(axis=1)
        if not np.isfinite(block).all():
            raise UserError(f"{name}: holds values that are not finite (replace it)")
        yield block


def _scaling(dtype: np.dtype) -> tuple[float, float]:
    """Return the offset to subtract from samples, and the factor by which to multiply them then: full scale is 1."""
    if dtype.kind == "f":
        return 0.0, 1.0
    half = 2.0 ** (8 * dtype.itemsize - 1)
    return (half if dtype.kind == "u" else 0.0), 1 / half
