"""Split and merged events, against counts on a grid of milliseconds and by hand."""

from __future__ import annotations

import numpy as np

from sed.data.tables import Event
from sed.evaluation.reports.seeds.fragments import fragments


def on_a_grid(truth: list[Event], detected: list[Event]) -> dict[str, int]:
    """Return the same counts of one clip, by comparing sets of whole milliseconds.

    An event is split when more than one detection has more than half of its own length in it; merged when a detection
    holds more than half of it and more than half of another event.
    """

    def cells(event: Event) -> set[tuple[str, int]]:
        return {(event.label, cell) for cell in range(round(1000 * event.onset), round(1000 * event.offset))}

    events, found = [cells(event) for event in truth], [cells(event) for event in detected]
    split = sum(sum(2 * len(e & d) > len(d) for d in found) > 1 for e in events)
    holders = [{n for n, e in enumerate(events) if 2 * len(e & d) > len(e)} for d in found]
    return {"events": len(events), "split": split, "merged": len(set().union(*(h for h in holders if len(h) > 1)))}


def test_split_and_merged_events_are_those_counted_by_hand() -> None:
    truth = {"a": [Event(0.0, 4.0, "Dog"), Event(5.0, 5.5, "Dog"), Event(6.0, 6.5, "Dog"), Event(8.0, 9.0, "Cat")]}
    detections = {
        "a": [Event(0.1, 1.0, "Dog"), Event(2.0, 3.0, "Dog"), Event(5.0, 6.5, "Dog"), Event(8.0, 9.0, "Dog")],
        "b": [Event(0.0, 1.0, "Dog")],
    }
    assert fragments(truth, detections) == {"events": 4, "split": 1, "merged": 2}
    assert fragments(truth, truth) == {"events": 4, "split": 0, "merged": 0}
    assert fragments(truth, {}) == {"events": 4, "split": 0, "merged": 0}


def test_counts_equal_those_on_a_grid() -> None:
    rng = np.random.default_rng(7)
    total = {"events": 0, "split": 0, "merged": 0}
    for _ in range(80):
        clip = []
        for _side in range(2):
            onsets = rng.integers(0, 9000, rng.integers(1, 7))
            lengths = rng.integers(11, 3000, len(onsets))  # made odd below, so that no overlap is exactly half of one
            labels = rng.choice(["Dog", "Cat"], len(onsets))
            clip.append(
                [Event(o / 1000, (o + n) / 1000, str(x)) for o, n, x in zip(onsets, lengths | 1, labels, strict=True)]
            )
        expected = on_a_grid(*clip)
        assert fragments({"a": clip[0]}, {"a": clip[1]}) == expected
        total = {key: total[key] + value for key, value in expected.items()}
    assert min(total.values()) > 5
