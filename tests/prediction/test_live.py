"""Raw PCM from a pipe."""

from __future__ import annotations

import os

import numpy as np
import pytest

from sed.errors import UserError
from sed.prediction.live import BrokenStream, read_pcm


@pytest.mark.parametrize(
    "kind,dtype,low,middle",
    [("s16", "<i2", -32768, 0), ("s32", "<i4", -(2**31), 0), ("f32", "<f4", -1, 0), ("u8", "u1", 0, 128)],
)
def test_samples_are_scaled_and_channels_averaged_across_reads(kind: str, dtype: str, low: int, middle: int) -> None:
    data = np.array([[low, low], [low, middle], [middle, middle]] * 5, dtype).tobytes()
    size = len(data) // 15  # of a sample of both channels
    into, out = os.pipe()
    with os.fdopen(into, "rb") as stream:
        blocks = read_pcm(stream, kind, 2, 1.0, 100)
        os.write(out, data[: size + 1])  # ends within the second sample
        found = [next(blocks)]
        os.write(out, data[size + 1 :] + b"\0")
        os.close(out)
        with pytest.raises(BrokenStream, match=rf"\(1 of {size} bytes\)"):
            for block in blocks:
                found.append(block)
    assert len(found[0]) == 1
    np.testing.assert_array_equal(np.concatenate(found), [-1, -0.5, 0] * 5)


@pytest.mark.filterwarnings("error")  # numpy's would be printed beside the message
@pytest.mark.parametrize(
    "samples",
    [
        [0, np.nan],
        [np.inf, -np.inf],
        [3e38, 3e38],  # whose sum is not finite
        np.array([0x7FA00000] * 2, "<u4"),  # signalling NaNs: NumPy warns at the first operation on them
    ],
)
def test_samples_that_are_not_finite_are_refused(samples: list[float] | np.ndarray) -> None:
    into, out = os.pipe()
    os.write(out, samples.tobytes() if isinstance(samples, np.ndarray) else np.float32(samples).tobytes())
    os.close(out)
    with os.fdopen(into, "rb") as stream, pytest.raises(UserError, match="not finite"):
        list(read_pcm(stream, "f32", 2, 1.0, 100))


def test_loud_16_bit_samples_that_are_read_as_floating_point_are_refused() -> None:
    into, out = os.pipe()
    os.write(out, np.array([0, 28000, 0, -28000], "<i2").tobytes())
    os.close(out)
    message = r"input: holds values of up to 4e\+27, where full scale is 1 \(is --live-kind right\?\)"
    with os.fdopen(into, "rb") as stream, pytest.raises(UserError, match=message):
        list(read_pcm(stream, "f32", 1, 1.0, 100))
