"""Events found by length and collar, against sed_eval, a search over all pairings, and properties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sed.data.tables import Event
from sed.evaluation.metrics.f1 import COLLARS
from sed.evaluation.metrics.packages import sed_eval
from sed.evaluation.reports.seeds.matching import LENGTHS, Tally, by_collar, by_length, f1, length_of, tallies

LABELS = ("Dog", "Cat")
Clips = dict[str, list[Event]]


def random_events(rng: np.random.Generator, count: int) -> list[Event]:
    onsets = np.sort(rng.uniform(0, 9, count))
    return [
        Event(round(float(onset), 2), round(float(onset + rng.gamma(1.2, 0.7) + 0.02), 2), LABELS[rng.integers(2)])
        for onset in onsets
    ]


def moved(rng: np.random.Generator, events: list[Event]) -> list[Event]:
    """Return detections near some of the events, and a few elsewhere."""
    near = []
    for event in events:
        onset = max(0.0, event.onset + rng.normal(0, 0.15))
        near.append(Event(onset, max(onset + 0.01, event.offset + rng.normal(0, 0.2)), event.label))
    return near[: rng.integers(len(near) + 1)] + random_events(rng, rng.integers(3))


@pytest.fixture(scope="module")
def scenes() -> tuple[Clips, Clips]:
    rng = np.random.default_rng(5)
    truth = {f"clip{i}": random_events(rng, int(rng.integers(1, 7))) for i in range(60)}
    return truth, {clip: moved(rng, events) for clip, events in truth.items()}


def as_lists(events: list[Event]) -> list[dict]:
    return [
        {"filename": "a", "event_label": e.label, "onset": float(e.onset), "offset": float(e.offset)} for e in events
    ]


@pytest.fixture(scope="module")
def a_collar_apart() -> tuple[Clips, Clips]:
    """Events, and detections that begin exactly 0.2 s, which is a collar, after them and end with them."""
    events = {f"clip{n}": Event(n / 10, n / 10 + 0.5, LABELS[n % 2]) for n in range(90)}
    late = {clip: [Event(round(e.onset + 0.2, 2), e.offset, e.label)] for clip, e in events.items()}
    return {clip: [event] for clip, event in events.items()}, late


@pytest.mark.parametrize("pair", ["scenes", "a_collar_apart"])
@pytest.mark.parametrize("collar", COLLARS)
def test_equal_to_sed_eval_at_every_collar(pair: str, request: pytest.FixtureRequest, collar: float) -> None:
    truth, detections = request.getfixturevalue(pair)
    metric = sed_eval().sound_event.EventBasedMetrics(
        event_label_list=list(LABELS), t_collar=collar, percentage_of_length=0.2
    )
    for clip, events in truth.items():
        metric.evaluate(as_lists(events), as_lists(detections[clip]))
    found = by_collar(truth, detections)[f"{collar:g}"]
    for label in LABELS:
        counts = metric.class_wise[label]
        assert found[label] == [counts["Ntp"], counts["Nref"], counts["Nsys"] - counts["Ntp"]]
        assert f1(found[label]) == pytest.approx(metric.results_class_wise_metrics()[label]["f_measure"]["f_measure"])


def test_as_many_events_are_found_as_by_the_best_pairing() -> None:
    """One detection fits two events, one of which another fits too: taking them in order would find one."""
    truth = {"a": [Event(1.0, 1.2, "Dog"), Event(1.15, 1.35, "Dog")]}
    detections = {"a": [Event(1.1, 1.3, "Dog"), Event(0.85, 1.1, "Dog")]}

    def fits(event: Event, found: Event) -> bool:
        return abs(event.onset - found.onset) <= 0.2 and abs(event.offset - found.offset) <= 0.2

    best = max(
        sum(fits(event, found) for event, found in zip(truth["a"], order, strict=True))
        for order in itertools.permutations(detections["a"])
    )
    assert tallies(truth, detections)["Dog"].totals == [best, 2, 2 - best] == [2, 2, 0]


def test_lengths_add_up_and_a_wider_collar_finds_no_less(scenes: tuple[Clips, Clips]) -> None:
    truth, detections = scenes
    collars = by_collar(truth, detections)
    for label, lengths in by_length(truth, detections).items():
        assert [sum(counts) for counts in zip(*lengths.values(), strict=True)] == collars["0.2"][label]
        found = [collars[f"{collar:g}"][label][0] for collar in COLLARS]
        assert found == sorted(found) and found[0] < found[-1]
    events = [e for clip in truth.values() for e in clip if e.label == "Dog"]
    for name, least, most in zip(LENGTHS, (0, 0.5, 1, 3), LENGTHS.values(), strict=True):
        expected = sum(least <= e.offset - e.onset < most for e in events)
        assert by_length(truth, detections)["Dog"][name][1] == expected


def test_a_false_detection_counts_in_its_own_length() -> None:
    truth = {"a": [Event(1.0, 1.3, "Dog")], "b": []}
    table = tallies(truth, {"a": [Event(1.0, 6.0, "Dog")], "b": [Event(0.0, 0.7, "Cat")], "c": [Event(0, 1, "Dog")]})
    assert table["Dog"].false["over 3 s"] == 1 and table["Dog"].found["under 0.5 s"] == 0
    assert table["Cat"].false["0.5 to 1 s"] == 1 and table["Cat"].totals == [0, 0, 1]
    assert f1(table["Cat"].totals) is None and Tally().totals == [0, 0, 0]
    assert length_of(0.5) == "0.5 to 1 s"
