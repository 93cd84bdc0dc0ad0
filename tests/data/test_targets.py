"""Targets of events: active frames, and reading by rows of one set and of several."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sed.data.labels import merge_events
from sed.data.tables import Event
from sed.data.targets import FrameTargets, JoinedTargets, frames_of

LABELS = ["Cat", "Dog", "Speech"]
FRAME_SECONDS = st.sampled_from([0.01, 0.016, 0.02, 0.05, 0.1, 1 / 3, 10 / 101])


def frame_targets(events: list[list[Event]], labels: Sequence[str], **options: Any) -> np.ndarray:
    """Return every clip's targets (clips, frames, classes)."""
    targets = FrameTargets.of(events, labels, **options)
    return targets[np.arange(len(targets))]


def frame_events(active: np.ndarray, labels: Sequence[str], *, frame_seconds: float) -> list[Event]:
    """Return the runs of active frames (frames, classes) of one clip as events in order; the inverse of targets."""
    edges = np.diff(np.pad(np.asarray(active) > 0.5, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    events = [
        Event(float(start * frame_seconds), float(end * frame_seconds), label)
        for k, label in enumerate(labels)
        for start, end in zip(np.flatnonzero(edges[:, k] == 1), np.flatnonzero(edges[:, k] == -1), strict=True)
    ]
    return sorted(events)


def test_a_frame_is_active_from_half_of_its_length_on():
    events = [[Event(0.04, 0.26, "Dog"), Event(0.06, 0.24, "Cat"), Event(0.05, 0.25, "Speech")], []]
    targets = frame_targets(events, LABELS, frames=4, frame_seconds=0.1)
    assert targets.dtype == np.uint8 and targets.shape == (2, 4, 3)
    assert targets[0, :, 1].tolist() == [1, 1, 1, 0]
    assert targets[0, :, 0].tolist() == [0, 1, 0, 0]
    assert targets[0, :, 2].tolist() == [0, 1, 1, 0]  # ties go up at both ends
    assert not targets[1].any()


def test_an_event_that_begins_in_the_last_half_frame_and_ends_beyond_keeps_the_last_frame():
    events = [Event(9.97, 10.5, "a"), Event(10.0, 10.5, "b")]
    targets = frame_targets([events], ["a", "b"], frames=250, frame_seconds=0.04)[0]
    assert np.argwhere(targets).tolist() == [[249, 0]]


def test_short_events_keep_one_frame_and_the_rest_is_cut():
    targets = frame_targets([[Event(0.32, 0.34, "Cat"), Event(0.9, 7.0, "Dog")]], LABELS, frames=10, frame_seconds=0.1)
    assert np.flatnonzero(targets[0, :, 0]).tolist() == [3]
    assert np.flatnonzero(targets[0, :, 1]).tolist() == [9]


def test_a_short_event_whose_middle_is_the_start_of_a_frame_has_that_frame():
    assert (0.58 + 0.62) / 2 / 0.1 < 6  # rounding errors
    assert frames_of(Event(0.58, 0.62, "Cat"), 0.1) == (6, 7)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 300), st.just(3))), FRAME_SECONDS)
def test_frames_to_events_and_back(active, frame_seconds):
    events = frame_events(active, LABELS, frame_seconds=frame_seconds)
    back = frame_targets([events], LABELS, frames=len(active), frame_seconds=frame_seconds)[0]
    np.testing.assert_array_equal(back, active)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 5000), st.sampled_from(LABELS)), max_size=8), FRAME_SECONDS
)
def test_events_to_frames_and_back_stay_within_a_frame(raw, frame_seconds):
    found = [Event(on / 1000, min(on + length, 10000) / 1000, label) for on, length, label in raw]
    events = merge_events({"x": found})[0]["x"]
    targets = frame_targets([events], LABELS, frames=int(11 / frame_seconds), frame_seconds=frame_seconds)[0]
    for onset, offset, label in frame_events(targets, LABELS, frame_seconds=frame_seconds):
        ends = [(e.onset, e.offset) for e in events if e.label == label]
        # an end moves by half a frame, by one where a short event was given a whole frame
        assert min(abs(onset - on) for on, _ in ends) <= frame_seconds + 1e-6
        assert min(abs(offset - off) for _, off in ends) <= frame_seconds + 1e-6
    for k, label in enumerate(LABELS):
        assert targets[:, k].any() == any(event.label == label for event in events)


def test_a_tag_without_an_event_is_unknown_in_every_frame():
    events = [[Event(0.0, 0.2, "Dog")], []]
    targets = frame_targets(events, ["Cat", "Dog"], frames=4, frame_seconds=0.1, tags=[("Dog", "Cat"), ()])
    assert targets[0].tolist() == [[2, 1], [2, 1], [2, 0], [2, 0]] and not targets[1].any()


def test_sets_are_read_by_rows_in_any_order_and_a_batch_may_have_none():
    rng = np.random.default_rng(0)
    clips = [
        [Event(t, t + 0.3, LABELS[k]) for t, k in zip(rng.random(4), rng.integers(0, 3, 4), strict=True)]
        for _ in range(5)
    ]
    sparse = FrameTargets.of(clips, LABELS, frames=20, frame_seconds=0.1)
    dense = (rng.random((7, 20, 3)) < 0.5).astype(np.uint8)
    joined = JoinedTargets([sparse, dense], (20, 3))
    assert len(joined) == 12 and joined.shape == (12, 20, 3) and sparse.shape == (5, 20, 3)
    whole = np.concatenate([sparse[np.arange(5)], dense])
    rows = rng.integers(0, 12, 40)
    np.testing.assert_array_equal(joined[rows], whole[rows])
    assert JoinedTargets([], (20, 3))[np.zeros(0, np.int64)].shape == (0, 20, 3)


def test_a_clip_of_447_classes_and_8_events_takes_less_than_200_bytes():
    labels = [f"class {k}" for k in range(447)]
    clips = [[Event(0.1 * k, 0.1 * k + 2, labels[(row + k) % 447]) for k in range(8)] for row in range(1000)]
    targets = FrameTargets.of(clips, labels, frames=1000, frame_seconds=0.01)
    held = targets._first.nbytes + targets._spans.nbytes + targets._values.nbytes
    assert held < 200 * 1000  # bytes per clip; as an array, it has 447,000
    assert targets[[999]].sum() == 8 * 200
