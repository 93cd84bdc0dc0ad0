"""Event tables: order, overlaps, reading and writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.errors import UserError
from sed.evaluation.metrics.events import EventTable, merge_overlaps, read_events, table_of, write_events


def random_table(seed: int) -> EventTable:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 25))
    onset = rng.integers(0, 40, count)
    return EventTable.of(
        rng.integers(2, size=count), rng.integers(2, size=count), onset, onset + rng.integers(1, 9, count)
    )


def active(table: EventTable) -> np.ndarray:
    """Return whether an event is active (clips, labels, steps); times are whole steps."""
    grid = np.zeros((2, 2, 60), bool)
    for clip, label, onset, offset in zip(table.clip, table.label, table.onset, table.offset, strict=True):
        grid[clip, label, int(onset) : int(offset)] = True
    return grid


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_merging_keeps_what_is_active_and_leaves_no_overlap(seed: int, touching: bool) -> None:
    table = random_table(seed)
    merged, gone = merge_overlaps(table, touching=touching)
    assert len(merged) + gone == len(table)
    np.testing.assert_array_equal(active(merged), active(table))
    for row in range(len(merged) - 1):
        if merged.clip[row] == merged.clip[row + 1] and merged.label[row] == merged.label[row + 1]:
            gap = merged.onset[row + 1] - merged.offset[row]
            assert gap > 0 if touching else gap >= 0
    assert merge_overlaps(merged, touching=touching)[1] == 0
    if touching:  # as many as there are runs of active steps
        padded = np.pad(active(table), ((0, 0), (0, 0), (1, 0)))
        assert len(merged) == (np.diff(padded.astype(int), axis=2) == 1).sum()


def test_rows_are_sorted_and_chosen_whole() -> None:
    table = EventTable.of([1, 0, 0], [0, 1, 0], [0.5, 2.0, 3.0], [1.0, 2.5, 4.0])
    assert table.clip.tolist() == [0, 0, 1] and table.onset.tolist() == [3.0, 2.0, 0.5]
    one = table.where(table.label == 1)
    assert (one.clip.tolist(), one.onset.tolist(), one.offset.tolist()) == ([0], [2.0], [2.5])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    table = EventTable.of([1, 0], [0, 1], [0.125, 2.0], [1.0, 2.5])
    write_events(tmp_path / "events.tsv", table, ["a", "b"], ["x", "y"])
    assert (tmp_path / "events.tsv").read_text().splitlines()[1].startswith("a.wav\t2.0")
    events, named = read_events(tmp_path / "events.tsv")
    again = table_of("events.tsv", events, {"a": 0, "b": 1}, {"x": 0, "y": 1})
    assert named == ["a", "b"]
    for key in ("clip", "label", "onset", "offset"):
        np.testing.assert_array_equal(getattr(again, key), getattr(table, key))


def test_events_without_length_in_whole_milliseconds_are_not_written(tmp_path: Path) -> None:
    table = EventTable.of([0, 0, 0], [0, 0, 0], [1.0001, 2.0004, 3.0], [1.0003, 2.0006, 3.0])
    write_events(tmp_path / "events.tsv", table, ["a"], ["x"])
    assert (tmp_path / "events.tsv").read_text().splitlines()[1:] == ["a.wav\t2.000\t2.001\tx"]


def test_unknown_labels_are_refused_by_line_and_other_clips_left_out() -> None:
    events = [(2, "a", 0.0, 1.0, "x"), (3, "b", 0.0, 1.0, "new")]
    with pytest.raises(UserError, match=r"t\.tsv:3: unknown label 'new'"):
        table_of("t.tsv", events, {"a": 0, "b": 1}, {"x": 0})
    assert len(table_of("t.tsv", events[:1], {"b": 0}, {"x": 0})) == 0
