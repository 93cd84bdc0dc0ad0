import time

import pytest

from sed.data.labels import boundary, check_labels, merge_events, tag_targets
from sed.data.tables import Event
from sed.errors import UserError

LABELS = ["Cat", "Dog", "Speech"]


def test_merge_joins_overlaps_of_one_label_only():
    events = {"a": [Event(1, 3, "Dog"), Event(0, 2, "Dog"), Event(2.5, 2.6, "Dog"), Event(1, 2, "Cat")], "b": []}
    merged, gone = merge_events(events)
    assert merged == {"a": [Event(0, 3, "Dog"), Event(1, 2, "Cat")], "b": []} and gone == 2
    assert merge_events({"a": [Event(0, 1, "Dog"), Event(1, 2, "Dog")]})[1] == 0  # touching events are two


def test_halves_of_frames_round_up_even_if_division_falls_short_of_them():
    assert 0.15 / 0.1 < 1.5 and boundary(0.15, 0.1) == 2
    assert boundary(0.149, 0.1) == 1


def test_tags_become_rows_of_ones_and_zeros():
    assert tag_targets([("Dog", "Cat"), ()], LABELS).tolist() == [[1, 1, 0], [0, 0, 0]]
    with pytest.raises(KeyError):
        tag_targets([("Bird",)], LABELS)


def test_labels_of_a_model_are_distinct_names_and_checked_in_linear_time():
    labels = [f"label {number}" for number in range(100_000)]
    began = time.monotonic()
    check_labels("m", labels)
    assert time.monotonic() - began < 5  # comparing each with all took minutes
    with pytest.raises(UserError, match="m: label 'label 7' comes twice"):
        check_labels("m", [*labels, "label 7"])
