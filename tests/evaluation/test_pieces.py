import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.data.tables import Event
from sed.evaluation.pieces import in_pieces, put_back


def test_an_event_across_cuts_is_one_in_each_clip() -> None:
    events = [Event(3.0, 5.0, "Dog"), Event(8.0, 31.5, "Rain")]
    assert in_pieces(events, 10.0, 4) == [
        [Event(3.0, 5.0, "Dog"), Event(8.0, 10.0, "Rain")],
        [Event(0.0, 10.0, "Rain")],
        [Event(0.0, 10.0, "Rain")],
        [Event(0.0, 1.5, "Rain")],
    ]


def test_what_ends_at_a_cut_or_beyond_the_last_clip_leaves_nothing_there() -> None:
    assert in_pieces([Event(8.0, 10.005, "Dog"), Event(10.0, 12.0, "Cat"), Event(18.0, 20.5, "Cat")], 10.0, 2) == [
        [Event(8.0, 10.0, "Dog")],
        [Event(0.0, 2.0, "Cat"), Event(8.0, 10.0, "Cat")],
    ]


def test_short_events_that_no_border_cuts_are_kept() -> None:
    events = [
        Event(1.0, 1.004, "Dog"),
        Event(10.0, 10.002, "Dog"),
        Event(19.998, 20.0, "Cat"),
        Event(20.0, 20.0, "Cow"),
    ]
    assert in_pieces(events, 10.0, 3) == [
        [Event(1.0, 1.004, "Dog")],
        [Event(0.0, pytest.approx(0.002), "Dog"), Event(pytest.approx(9.998), 10.0, "Cat")],
        [],
    ]


def test_only_what_touches_at_a_cut_is_joined() -> None:
    clips = [
        [Event(1.0, 2.0, "Dog"), Event(9.0, 10.02, "Dog"), Event(9.5, 10.0, "Cat")],
        [Event(0.0, 3.0, "Dog"), Event(0.1, 1.0, "Cat"), Event(2.5, 10.0, "Cow")],
        [Event(0.0, 10.0, "Cow"), Event(4.0, 10.0, "Cat")],
    ]
    assert put_back(clips, 10.0) == [
        Event(1.0, 2.0, "Dog"),
        Event(9.0, 13.0, "Dog"),
        Event(9.5, 10.0, "Cat"),
        Event(10.1, 11.0, "Cat"),
        Event(12.5, 30.0, "Cow"),
        Event(24.0, 30.0, "Cat"),
    ]


def test_of_overlapping_events_at_a_cut_the_longest_is_taken() -> None:
    clips = [[Event(2.0, 10.0, "Dog"), Event(5.0, 10.0, "Dog")], [Event(0.0, 1.0, "Dog")]]
    assert put_back(clips, 10.0) == [Event(2.0, 11.0, "Dog")]
    after = [[Event(8.0, 10.0, "Dog")], [Event(0.0, 1.0, "Dog"), Event(0.0, 4.0, "Dog")]]
    assert put_back(after, 10.0) == [Event(8.0, 14.0, "Dog"), Event(10.0, 11.0, "Dog")]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 399), st.integers(1, 250)), max_size=12))
def test_cut_and_put_back_is_the_same(rows: list[tuple[str, int, int]]) -> None:
    ends: dict[str, int] = {}
    events = []
    for label, onset, length in sorted(rows, key=lambda row: row[1]):
        if onset > ends.get(label, -1):  # of one label no two touch
            ends[label] = min(400, onset + length)
            events.append(Event(onset / 10, ends[label] / 10, label))
    again = put_back(in_pieces(events, 10.0, 4), 10.0)
    assert [event.label for event in again] == [event.label for event in sorted(events)]
    for one, other in zip(again, sorted(events), strict=True):
        assert one[:2] == pytest.approx(other[:2]) and np.isfinite(one[:2]).all()
