import numpy as np
from random_scores import uniform

from sed.evaluation.postprocessing.filters import filtered, reach, window_frames


def test_windows_are_odd_and_nearest() -> None:
    assert window_frames(0.32, 0.01) == 33  # 32 lies between 31 and 33
    assert window_frames(0.32, 0.064) == 5
    assert window_frames(0.0, 0.01) == 1
    assert all(window_frames(s, 0.02) % 2 for s in np.linspace(0, 5, 77))


def test_reach_is_half_the_longest_window() -> None:
    assert reach({"a": 0.1, "b": 0.33}, 0.01) == 16


def test_each_clip_and_class_is_filtered_alone_and_a_window_of_one_frame_does_nothing() -> None:
    scores = uniform(3, 20)
    seen: list[tuple[int, int]] = []

    def mean(column: np.ndarray, width: int) -> np.ndarray:
        seen.append((len(column), width))
        return np.full_like(column, column.mean())

    found = filtered(scores.flat(), {"a": 0.05, "b": 0.0}, mean).values.reshape(3, 20, 2)
    assert seen == [(20, 5)] * 3
    np.testing.assert_array_equal(found[:, :, 1], scores.frame[:, :, 1])
    np.testing.assert_allclose(found[:, :, 0], scores.frame[:, :, :1].mean(1).repeat(20, 1), rtol=1e-6)
