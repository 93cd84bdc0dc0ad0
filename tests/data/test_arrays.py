"""Arrays of samples as mono blocks."""

from __future__ import annotations

import numpy as np
import pytest

from sed.data.arrays import mono_blocks, mono_stream
from sed.errors import UserError


def joined(samples: np.ndarray) -> np.ndarray:
    return np.concatenate(list(mono_blocks(samples, "array")))


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0.5, -0.25]), [0.5, -0.25]),
        (np.array([16384, -32768], np.int16), [0.5, -1.0]),
        (np.array([1 << 30, -(1 << 31)], np.int32), [0.5, -1.0]),
        (np.array([128, 0, 255], np.uint8), [0.0, -1.0, 127 / 128]),
        (np.array([[0.5, 0.1], [0.3, 0.1], [0.0, 1.0]]), [0.3, 0.2, 0.5]),  # (samples, channels)
        (np.array([[0.5, 0.3, 0.0], [0.1, 0.1, 1.0]]), [0.3, 0.2, 0.5]),  # (channels, samples)
    ],
)
def test_samples_become_mono_of_full_scale_one(samples: np.ndarray, expected: list[float]) -> None:
    found = joined(samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_long_array_comes_in_blocks() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
    blocks = list(mono_blocks(samples, "array"))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), samples)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0), r"shape \(0,\)"),
        (np.zeros((0, 5)), r"shape \(0, 5\) \(\(samples,\), \(samples, channels\) or \(channels, samples\) is exp"),
        (np.zeros((2, 3, 4)), "shape"),
        (np.array(["a"]), "type"),
        (np.array([0.0, np.nan]), "not finite"),
        (np.array([np.inf, 0.0]), "not finite"),
        (np.array([[0.0, 0.0]] * 2 + [[np.inf, -np.inf]]), "not finite"),
        (np.array([1e39, 0.0]), r"not finite in float32 \(replace these values\)"),
        (np.array([0.0, -1e18]), r"values of up to 1e\+18, where full scale is 1 \(replace these values\)"),
        (np.zeros(3, complex), "type"),
        (np.array([16384, -32768], np.int64), "type int64, whose full scale is unknown"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_arrays_that_are_not_audio_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        joined(samples)


STEREO = np.random.default_rng(0).uniform(-1, 1, (601, 2))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_streams_last_block_may_have_fewer_samples_than_channels(axis: int) -> None:
    pieces = [STEREO[:400], STEREO[400:600], np.zeros((0, 2)), STEREO[600:]]
    found = np.concatenate(list(mono_stream((piece if axis else piece.T for piece in pieces), "the stream")))
    np.testing.assert_allclose(found, STEREO.mean(axis=1), atol=1e-7)


def test_a_streams_blocks_may_be_mono_vectors() -> None:
    found = np.concatenate(list(mono_stream([STEREO[:, 0], STEREO, STEREO[:1, 0]], "the stream")))
    assert len(found) == 601 + 601 + 1


def test_a_stream_whose_first_block_leaves_its_channels_unclear_is_refused_at_the_second() -> None:
    """One sample of two channels is taken for two samples of one."""
    with pytest.raises(UserError, match=r"a block of shape \(600, 2\) after one of \(1, 2\), whose .* on axis 0"):
        list(mono_stream([STEREO[:1], STEREO[1:]], "the stream"))
