"""Posteriors of overlapping windows as posteriors of recordings."""

from dataclasses import replace

import numpy as np
import pytest

from sed.data.scores import Scores
from sed.data.windows import Window
from sed.errors import UserError
from sed.evaluation.stitching import FLOOR, stitch, triangle

SECONDS, FRAMES = 0.5, 20  # windows of 10 s
WINDOWS = {"long_0": Window("long", 0.0), "long_5": Window("long", 5.0), "long_10": Window("long", 10.0)}
WINDOWS |= {"short_0": Window("short", 0.0)}
DURATIONS = {"long": 12.0, "short": 3.2}


def windows_scores(seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    frame = rng.uniform(0.01, 0.99, (len(WINDOWS), FRAMES, 2)).astype(np.float32)
    return Scores(
        clips=list(WINDOWS),
        labels=["x", "y"],
        frame=frame,
        clip=frame.max(1),
        frame_seconds=SECONDS,
        attrs={"model": "m"},
    )


def test_logits_are_averaged_under_a_triangle():
    scores = windows_scores()
    found = stitch(scores, WINDOWS, DURATIONS, where="s")
    assert found.clips == ["long", "short"] and found.attrs["model"] == "m"
    weights = [FLOOR + (1 - FLOOR) * min(i, FRAMES - 1 - i) / ((FRAMES - 1) / 2) for i in range(FRAMES)]
    np.testing.assert_allclose(triangle(FRAMES), weights)
    logits = np.log(scores.frame / (1 - scores.frame))
    for frame in range(24):  # of 12 s
        own = [(index, frame - 10 * index) for index in range(3) if 0 <= frame - 10 * index < FRAMES]
        mean = sum(weights[at] * logits[index, at] for index, at in own) / sum(weights[at] for _, at in own)
        np.testing.assert_allclose(found.frame[0, frame], 1 / (1 + np.exp(-mean)), rtol=1e-5)
    np.testing.assert_allclose(found.clip[0], scores.clip[:3].max(0))


def test_a_recording_of_one_window_keeps_its_posteriors_up_to_its_end():
    scores = windows_scores()
    found = stitch(scores, WINDOWS, DURATIONS, where="s")
    np.testing.assert_allclose(found.frame[1, :7], scores.frame[3, :7], rtol=1e-5)
    assert not found.frame[1, 7:].any()


def test_posteriors_of_0_and_1_stay_finite_and_within_0_to_1():
    scores = windows_scores()
    scores.frame[...] = np.arange(FRAMES)[:, None] % 2
    found = stitch(scores, WINDOWS, DURATIONS, where="s").frame
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_other_clips_and_recordings_without_a_window_are_refused():
    scores = windows_scores()
    with pytest.raises(UserError, match=r"^s: clip 'short_0' is no window of a recording"):
        stitch(scores, {k: v for k, v in WINDOWS.items() if k != "short_0"}, DURATIONS, where="s")
    with pytest.raises(UserError, match=r"^s: no window of recording 'silent'"):
        stitch(scores, WINDOWS, {**DURATIONS, "silent": 1.0}, where="s")


def test_windows_without_scores_are_counted_and_their_frames_are_zero(log_lines):
    whole, rows = windows_scores(), [0, 1, 3]
    scores = replace(whole, clips=["long_0", "long_5", "short_0"], frame=whole.frame[rows], clip=whole.clip[rows])
    found = stitch(scores, WINDOWS, {"long": 18.0, "short": 3.2}, where="s")
    assert found.frame[0, 29].all() and not found.frame[0, 30:].any()
    (line,) = log_lines
    assert line.startswith("s: no scores of 1 of the 4 windows, such as long_10 ")
