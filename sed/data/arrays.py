"""Audio in memory: arrays of samples as blocks, like those of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sed.data.audio import BLOCK, fault_of
from sed.errors import UserError


def mono_blocks(samples: np.ndarray, name: str) -> Iterator[np.ndarray]:
    """Yield an array of samples as mono float32 blocks (n,).

    Args:
        samples: (samples,), (samples, channels) or (channels, samples): the shorter axis holds the channels, of
            equal ones the second. Floating point in [-1, 1], or integers of up to 32 bits, whose full scale becomes 1.
        name: of the array, for messages.

    Raises:
        UserError: another type or shape, no samples, or values that are not finite in float32 or above LOUDEST.
    """
    samples = np.asarray(samples)
    _check(samples, name)
    yield from _blocks(samples, _channel_axis(samples), name)


def mono_stream(pieces: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """Yield the pieces of a stream as mono float32 blocks (n,); pieces without samples are skipped.

    The first piece of two dimensions decides which axis holds the channels: a later piece, such as the last, may have
    fewer samples than channels.

    Args:
        pieces: arrays as in `mono_blocks`; those of two dimensions have the same number of channels on the same axis.
        name: of the stream, for messages.

    Raises:
        UserError: as `mono_blocks`, or a piece has another number of channels than the first of two dimensions.
    """
    first: tuple[int, ...] = ()  # shape of the first piece of two dimensions
    axis = 1
    for piece in map(np.asarray, pieces):
        if not piece.size:
            continue
        _check(piece, name)
        if piece.ndim == 2 and not first:
            first, axis = piece.shape, _channel_axis(piece)
        if piece.ndim == 2 and piece.shape[axis] != first[axis]:
            raise UserError(
                f"{name}: a block of shape {piece.shape} after one of {first}, whose channels are on axis {axis} (give "
                "all blocks as (samples, channels), the first with more samples than channels)"
            )
        yield from _blocks(piece, axis, name)


def _channel_axis(samples: np.ndarray) -> int:
    """Return the shorter of two axes, of equal ones the last."""
    return 0 if samples.ndim == 2 and samples.shape[0] < samples.shape[1] else 1


def _check(samples: np.ndarray, name: str) -> None:
    """Raise UserError for an array of another type or shape, or without samples."""
    if samples.ndim not in (1, 2) or not samples.size:
        raise UserError(
            f"{name}: an array of shape {samples.shape} ((samples,), (samples, channels) or (channels, samples) is "
            "expected)"
        )
    if samples.dtype.kind not in "fiu":
        raise UserError(f"{name}: samples of type {samples.dtype} (floating point or integers are expected)")
    if (
        samples.dtype.kind != "f" and samples.dtype.itemsize > 4
    ):  # int64 is what NumPy makes of a list of Python's integers
        raise UserError(
            f"{name}: samples of type {samples.dtype}, whose full scale is unknown (int16, int32 or floating point)"
        )


def _blocks(samples: np.ndarray, axis: int, name: str) -> Iterator[np.ndarray]:
    """Yield mono float32 blocks of an array, of which `axis` holds the channels if it has two."""
    samples = samples.T if samples.ndim == 2 and axis == 0 else samples
    offset, scale = _scaling(samples.dtype)
    for start in range(0, len(samples), BLOCK):
        with np.errstate(over="ignore", invalid="ignore"):  # the check below reports float64 beyond float32, too
            block = (samples[start : start + BLOCK].astype(np.float32) - np.float32(offset)) * np.float32(scale)
            block = block if block.ndim == 1 else block.mean(axis=1)
        if fault := fault_of(block):
            raise UserError(f"{name}: holds {fault} (replace these values)")
        yield block


def _scaling(dtype: np.dtype) -> tuple[float, float]:
    """Return the offset to subtract from samples, and the factor by which to multiply them then: full scale is 1."""
    if dtype.kind == "f":
        return 0.0, 1.0
    half = 2.0 ** (8 * dtype.itemsize - 1)
    return (half if dtype.kind == "u" else 0.0), 1 / half
