"""Error analysis by event, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import detections, problem

from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.f1 import Counts, event_counts, intersection_counts
from sed.evaluation.metrics.task import Problem
from sed.evaluation.reports.errors import confusion, match, rank_clips, recall_by_duration, recall_by_overlap

seeds = st.integers(0, 10**6)


def shared(a: EventTable, i: int, b: EventTable, j: int) -> float:
    """Return the seconds that two events have in common: 0 in different clips."""
    if a.clip[i] != b.clip[j]:
        return 0.0
    return max(0.0, min(a.offset[i], b.offset[j]) - max(a.onset[i], b.onset[j]))


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_each_true_event_has_the_detection_that_shares_most_with_it(seed: int) -> None:
    made = problem(seed)
    truth, found = made.truth, detections(seed, made)
    matches = match(made, found)
    for i in range(len(truth)):
        common = [shared(truth, i, found, j) if truth.label[i] == found.label[j] else 0.0 for j in range(len(found))]
        j = int(matches.index[i])
        assert (j >= 0) == (max(common, default=0) > 0)
        if j >= 0:
            assert common[j] == max(common)
            assert matches.onset[i] == found.onset[j] - truth.onset[i]
            assert matches.offset[i] == found.offset[j] - truth.offset[i]
        else:
            assert np.isnan(matches.onset[i]) and np.isnan(matches.offset[i])
        others = [j for j in range(len(truth)) if truth.label[j] != truth.label[i] and shared(truth, i, truth, j) > 0]
        assert matches.others[i] == len(others)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_found_events_are_as_many_as_those_of_event_based_f1(seed: int) -> None:
    made = problem(seed)
    found = detections(seed, made)
    matches, counts = match(made, found), event_counts(made, found)
    hits = np.bincount(made.truth.label[matches.hit], minlength=len(made.labels))
    assert hits.tolist() == counts.tp.sum(0).tolist()


def test_an_event_is_found_by_a_detection_that_is_not_the_one_that_shares_most_with_it() -> None:
    truth = EventTable.of([0], [0], [1.0], [3.0])
    found = EventTable.of([0, 0], [0, 0], [0.0, 1.15], [3.4, 2.8])
    made = Problem(clips=["a"], labels=["x"], durations=np.array([10.0]), truth=truth)
    matches = match(made, found)
    assert event_counts(made, found).tp.sum() == 1
    assert matches.index.tolist() == [0] and matches.hit.tolist() == [True]


def test_a_hit_at_the_edge_of_a_collar_is_one_of_event_based_f1() -> None:
    onsets = np.round(np.arange(0, 40, 1.1), 3)
    truth, found = (EventTable.of([0] * len(at), [0] * len(at), at, at + 0.9) for at in (onsets, onsets + 0.2))
    made = Problem(clips=["a"], labels=["x"], durations=np.array([50.0]), truth=truth)
    hits = int(match(made, found).hit.sum())
    assert 0 < hits < len(truth) and hits == event_counts(made, found).tp.sum()  # rounding decides


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_groups_hold_every_true_event_once(seed: int) -> None:
    made = problem(seed)
    matches = match(made, detections(seed, made))
    for groups in (recall_by_duration(made, matches), recall_by_overlap(matches)):
        assert sum(group.events for group in groups) == len(made.truth)
        assert sum(group.hit for group in groups) == matches.hit.sum()
        assert sum(group.touched for group in groups) == (matches.index >= 0).sum()
        assert all(max(group.hit, group.touched) <= group.events for group in groups)


def test_an_event_is_in_the_bin_that_ends_at_its_length() -> None:
    truth = EventTable.of([0, 0], [0, 0], [0.0, 2.0], [0.5, 2.75])
    made = Problem(clips=["a"], labels=["x"], durations=np.array([10.0]), truth=truth)
    groups = recall_by_duration(made, match(made, truth))
    assert [(group.name, group.events, group.hit) for group in groups] == [("0-0.5 s", 1, 1), ("0.5-1 s", 1, 1)]
    truth = EventTable.of([0], [0], [1.7], [2.2])  # the difference is more than 0.5 by rounding
    made = Problem(clips=["a"], labels=["x"], durations=np.array([10.0]), truth=truth)
    assert [group.name for group in recall_by_duration(made, match(made, truth))] == ["0-0.5 s"]


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_the_diagonal_of_the_confusion_is_what_the_intersection_finds(seed: int) -> None:
    made = problem(seed)
    found = detections(seed, made)
    table, counts = confusion(made, found), intersection_counts(made, found)
    np.testing.assert_array_equal(table.right, counts.tp.sum(0)[made.present])
    np.testing.assert_array_equal(table.right + table.missed, made.counts[made.present])
    assert (np.diag(table.taken) == 0).all() and (table.nowhere >= 0).all()


def test_a_detection_of_another_class_is_taken_for_it() -> None:
    truth = EventTable.of([0, 0], [0, 1], [0.0, 5.0], [2.0, 7.0])
    made = Problem(clips=["a"], labels=["x", "y"], durations=np.array([10.0]), truth=truth)
    found = EventTable.of([0, 0], [1, 1], [0.0, 8.0], [2.0, 9.0])  # y where x is, and y where nothing is
    table = confusion(made, found)
    assert table.taken.tolist() == [[0, 0], [1, 0]] and table.nowhere.tolist() == [0, 1]
    assert table.right.tolist() == [0, 0] and table.missed.tolist() == [1, 1]


def test_a_detection_on_events_of_two_classes_counts_once() -> None:
    truth = EventTable.of([0, 0, 0], [0, 1, 2], [0.0, 0.0, 8.0], [2.0, 2.0, 9.0])
    made = Problem(clips=["a"], labels=["x", "y", "z"], durations=np.array([10.0]), truth=truth)
    found = EventTable.of([0, 0], [2, 2], [0.0, 4.0], [2.0, 5.0])  # z where x and y are, and z where nothing is
    table = confusion(made, found)
    assert table.taken[2].tolist() == [1, 1, 0] and table.nowhere.tolist() == [0, 0, 1]


def test_the_confusion_cuts_detections_as_the_intersection_does() -> None:
    truth = EventTable.of([0], [0], [0.0], [10.0])
    made = Problem(clips=["a"], labels=["x"], durations=np.array([10.0]), truth=truth)
    endless = EventTable.of([0], [0], [0.0], [1e6])
    assert confusion(made, endless).right.tolist() == intersection_counts(made, endless).tp.sum(0).tolist() == [1]


def test_the_largest_classes_are_kept_in_their_order() -> None:
    truth = EventTable.of([0] * 6, [0, 1, 1, 2, 2, 2], np.arange(6.0), np.arange(6.0) + 0.5)
    made = Problem(clips=["a"], labels=["x", "y", "z"], durations=np.array([10.0]), truth=truth)
    table = confusion(made, truth).most(2)
    assert table.labels == ["y", "z"] and table.right.tolist() == [2, 3] and table.taken.shape == (2, 2)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_clips_are_ranked_by_their_errors_and_in_one_list_only(number: int) -> None:
    # Events of clips 0 to 5: right, detected, true. Clips 1 and 5 have two errors each, clip 2 has five.
    rows = np.array([[2, 2, 2], [1, 2, 2], [0, 2, 3], [0, 0, 0], [5, 5, 5], [3, 4, 4]], float)
    counts = Counts(tp=rows[:, :1], system=rows[:, 1:2], truth=rows[:, 2:])
    worst, best = rank_clips(counts, number)
    assert worst == [2, 1, 5][:number]
    assert best == [clip for clip in (4, 0, 5, 1) if clip not in worst][:number]
