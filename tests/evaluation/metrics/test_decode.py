"""Decoding at many thresholds against a loop over the frames, frame indices beyond int32, and speed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scores import uniform

from sed.data.scores import FrameScores, Scores
from sed.evaluation.metrics import decode as module
from sed.evaluation.metrics.decode import decode, operating_points


def reference_loop(values, borders, threshold):
    """Return the events (onset, offset) of one clip and class, found frame by frame."""
    events, onset = [], None
    for index, value in enumerate(values):
        if value > threshold and onset is None:
            onset = borders[index]
        elif not value > threshold and onset is not None:
            events.append((onset, borders[index]))
            onset = None
    if onset is not None:
        events.append((onset, borders[len(values)]))
    return events


def rows_of(decoded, point, clip, label):
    table = decoded.at(point)
    chosen = table.where((table.clip == clip) & (table.label == label))
    return list(zip(chosen.onset.tolist(), chosen.offset.tolist(), strict=True))


def check(scores, thresholds):
    decoded = decode(scores, thresholds)
    per_class = np.broadcast_to(np.asarray(thresholds, float).reshape(len(thresholds), -1), (len(thresholds), 2))
    for clip, (_, rows) in enumerate(scores.items()):
        borders = [*scores.onset[rows], *scores.offset[rows][-1:]]
        for label in range(2):
            for point in range(len(thresholds)):
                wanted = reference_loop(scores.values[rows, label], borders, per_class[point, label])
                assert rows_of(decoded, point, clip, label) == wanted


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_events_are_those_of_a_loop_over_the_frames(data):
    frame = data.draw(st.sampled_from([0.01, 0.02, 0.064, 0.1]))
    lengths = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    start = np.concatenate([[0], np.cumsum(lengths)])
    borders = [np.round(np.arange(length + 1) * frame, 6) for length in lengths]
    scores = FrameScores(
        clips=[f"c{i}" for i in range(len(lengths))],
        labels=["a", "b"],
        start=start,
        onset=np.concatenate([b[:-1] for b in borders]),
        offset=np.concatenate([b[1:] for b in borders]),
        values=np.round(rng.random((start[-1], 2)), data.draw(st.integers(1, 3))),  # ties with thresholds too
    )
    thresholds = data.draw(st.sampled_from([operating_points(), np.array([0.5]), np.array([0.9, 0.1, 0.5, 0.5])]))
    with pytest.MonkeyPatch.context() as patch:  # clips one by one, two at a time, or all at once
        patch.setattr(module, "COUNTS", data.draw(st.sampled_from([1, 2 * len(thresholds) * 2, module.COUNTS])))
        check(scores, thresholds)
        check(scores, np.array([[0.2, 0.7], [0.5, 0.1]]))


@pytest.mark.thorough
def test_frame_indices_may_exceed_int32():
    start = np.array([0, 2**31, 2**31 + 3])
    values = np.broadcast_to(np.float32(0.9), (2**31 + 3, 1))  # takes no memory
    _, cell, begin, end = module._decode_clips(values, start, np.array([[0.5]]), np.zeros((1, 1), int), range(1, 2))
    assert (cell.tolist(), begin.tolist(), end.tolist()) == ([1], [2**31], [2**31 + 2])


@pytest.mark.slow
def test_a_whole_set_is_decoded_at_50_thresholds_within_5_seconds():
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((1168, 100, 10)).repeat(10, axis=1) + 0.2 * rng.standard_normal((1168, 1000, 10))
    scores = Scores(
        clips=[f"c{i}" for i in range(1168)],
        labels=[f"l{i}" for i in range(10)],
        frame=(1 / (1 + np.exp(1 - 2 * steps))).astype(np.float32),
        clip=np.ones((1168, 10), np.float32),
        frame_seconds=0.01,
    ).flat()
    decode(uniform(1, 10).flat(), operating_points())  # compile
    started = time.process_time()
    decoded = decode(scores, operating_points())
    assert time.process_time() - started < 5
    assert len(decoded) > 1_000_000
