from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sed.data.labels import frame_targets, mark_unknown, merge_events, tag_targets
from sed.data.tables import Event

LABELS = ["Cat", "Dog", "Speech"]
FRAME_SECONDS = st.sampled_from([0.01, 0.016, 0.02, 0.05, 0.1, 1 / 3, 10 / 101])


def frame_events(active: np.ndarray, labels: Sequence[str], *, frame_seconds: float) -> list[Event]:
    """Runs of active frames (frames, classes) of one clip as events in order; the inverse of `frame_targets`."""
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
    assert targets.dtype == np.float32 and targets.shape == (2, 4, 3)
    assert targets[0, :, 1].tolist() == [1, 1, 1, 0]
    assert targets[0, :, 0].tolist() == [0, 1, 0, 0]
    assert targets[0, :, 2].tolist() == [0, 1, 1, 0]  # ties go up at both ends
    assert not targets[1].any()


def test_short_events_keep_one_frame_and_the_rest_is_cut():
    targets = frame_targets([[Event(0.32, 0.34, "Cat"), Event(0.9, 7.0, "Dog")]], LABELS, frames=10, frame_seconds=0.1)
    assert np.flatnonzero(targets[0, :, 0]).tolist() == [3]
    assert np.flatnonzero(targets[0, :, 1]).tolist() == [9]


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
def test_events_to_frames_and_back_stay_within_half_a_frame(raw, frame_seconds):
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


def test_merge_joins_overlaps_of_one_label_only():
    events = {"a": [Event(1, 3, "Dog"), Event(0, 2, "Dog"), Event(2.5, 2.6, "Dog"), Event(1, 2, "Cat")], "b": []}
    merged, gone = merge_events(events)
    assert merged == {"a": [Event(0, 3, "Dog"), Event(1, 2, "Cat")], "b": []} and gone == 2
    assert merge_events({"a": [Event(0, 1, "Dog"), Event(1, 2, "Dog")]})[1] == 0  # touching events are two


def test_tags():
    assert tag_targets([("Dog", "Cat"), ()], LABELS).tolist() == [[1, 1, 0], [0, 0, 0]]
    with pytest.raises(KeyError):
        tag_targets([("Bird",)], LABELS)


def test_a_tag_without_an_event_is_unknown_in_every_frame():
    events = [[Event(0.0, 0.2, "Dog")], []]
    targets = frame_targets(events, ["Cat", "Dog"], frames=4, frame_seconds=0.1).astype(np.uint8)
    mark_unknown(targets, events, [("Dog", "Cat"), ()], ["Cat", "Dog"])
    assert targets[0].tolist() == [[2, 1], [2, 1], [2, 0], [2, 0]] and not targets[1].any()
