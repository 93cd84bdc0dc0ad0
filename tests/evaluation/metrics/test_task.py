"""The evaluation task: which classes count, and the ground truth in the forms that the packages want."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import problem

from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.task import FAR, Problem


def small() -> Problem:
    truth = EventTable.of([0, 0, 1], [1, 1, 0], [0.0, 1.0, 0.5], [1.0, 2.0, 1.5])
    return Problem(clips=["p", "q"], labels=["x", "y", "z"], durations=np.array([3.0, 3.0]), truth=truth)


def test_a_class_without_events_is_absent() -> None:
    made = small()
    assert made.counts.tolist() == [1, 2, 0] and made.present.tolist() == [0, 1]
    assert made.absent_labels == ["z"]


def test_events_that_touch_are_one_when_joined_and_two_otherwise() -> None:
    made = small()
    assert len(made.truth) == 3 and len(made.joined.truth) == 2
    assert made.joined.truth.offset.max() == 2.0 and made.joined.joined is made.joined


def test_events_inside_a_recording_have_a_length_and_begin_in_it_and_do_not_end_far_beyond_it() -> None:
    onset, offset = [0.0, 1.0, 2.0, 2.5, 3.0], [1.0, 1.0, 3.0 + FAR, 3.1 + FAR, 3.5]  # of recordings of 3 s
    inside = small().inside(EventTable.of([0] * 5, [0] * 5, onset, offset))
    assert list(zip(inside.onset, inside.offset, strict=True)) == [(0.0, 1.0), (2.0, 3.0 + FAR), (2.5, 3.0)]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_table_and_the_lists_hold_every_event_once(seed: int) -> None:
    made = problem(seed)
    frame = made.frame(made.truth)
    rows = {tuple(row) for row in frame[["filename", "event_label", "onset", "offset"]].itertuples(index=False)}
    lists = [tuple(event.values()) for clip in made.lists(made.truth) for event in clip]
    assert len(lists) == len(made.truth) == len(frame) and set(lists) == rows
    for clip, events in zip(made.clips, made.lists(made.truth), strict=True):
        assert {event["filename"] for event in events} <= {clip}
