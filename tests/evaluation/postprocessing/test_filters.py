from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scores import uniform

from sed.data.scores import FrameScores
from sed.evaluation.postprocessing import filters
from sed.evaluation.postprocessing.filters import filtered, reach, window_frames
from sed.evaluation.postprocessing.maximum import Maximum
from sed.evaluation.postprocessing.median import Median


def test_windows_are_odd_and_nearest() -> None:
    assert window_frames(0.32, 0.01) == 33  # 32 lies between 31 and 33
    assert window_frames(0.32, 0.064) == 5
    assert window_frames(0.58, 0.01) == 59  # 58, but 57.99999999999999 in floating point
    assert window_frames(0.0, 0.01) == 1
    assert all(window_frames(s, 0.02) % 2 for s in np.linspace(0, 5, 77))


def test_reach_is_half_the_longest_window() -> None:
    assert reach({"a": 0.1, "b": 0.33}, 0.01) == 16


def test_each_clip_and_class_is_filtered_alone_and_a_window_of_one_frame_does_nothing() -> None:
    scores = uniform(3, 20)
    seen: list[tuple[tuple[int, ...], int]] = []

    def mean(clips: np.ndarray, width: int) -> np.ndarray:
        seen.append((clips.shape, width))
        return np.broadcast_to(clips.mean(1, keepdims=True), clips.shape)

    found = filtered(scores.flat(), {"a": 0.05, "b": 0.0}, mean).values.reshape(3, 20, 2)
    assert seen == [((3, 20), 5)]
    np.testing.assert_array_equal(found[:, :, 1], scores.frame[:, :, 1])
    np.testing.assert_allclose(found[:, :, 0], scores.frame[:, :, :1].mean(1).repeat(20, 1), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
    st.integers(0, 50),
    st.integers(0, 10**6),
    st.sampled_from([1, 100, 1 << 20]),
)
def test_clips_of_any_length_are_filtered_with_reflected_edges(
    lengths: list[int], half: int, seed: int, together: int
) -> None:
    values = np.random.default_rng(seed).random((sum(lengths), 4), np.float32).round(1)  # rounded: many ties
    start = np.cumsum([0, *lengths])
    times = np.arange(sum(lengths) + 1) * 0.01
    scores = FrameScores(
        clips=[f"c{k}" for k in range(len(lengths))],
        labels=["a", "b", "c", "d"],
        start=start,
        onset=times[:-1],
        offset=times[1:],
        values=values,
    )
    width = 2 * half + 1
    seconds = {"a": width * 0.01, "b": 0.0, "c": width * 0.01, "d": 0.05}
    for step, of_window in ((Median(seconds), np.median), (Maximum(seconds), np.max)):
        with patch.object(filters, "TOGETHER", together):
            found = step.apply(scores).values
        np.testing.assert_array_equal(found[:, 1], values[:, 1])
        for label, reached in ((0, half), (2, half), (3, 2)):
            for clip in [clip for clip, length in enumerate(lengths) if length]:
                rows = slice(start[clip], start[clip + 1])
                padded = np.pad(values[rows, label], reached, "symmetric")
                expected = [of_window(padded[row : row + 2 * reached + 1]) for row in range(lengths[clip])]
                np.testing.assert_array_equal(found[rows, label], expected)
