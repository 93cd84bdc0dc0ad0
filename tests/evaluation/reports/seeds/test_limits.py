"""Limits of a system in words, from its numbers."""

from __future__ import annotations

from typing import Any

from sed.evaluation.reports.seeds import limits
from sed.evaluation.reports.seeds.matching import LENGTHS

SOURCES = {"Rain": [9, 9], "Cat": [5, 7], "Dog": [2, 3], "Elsewhere": [1, 1]}


def run_of(seed: int, f1: float, psds1: float, found: int) -> dict[str, Any]:
    """Return a result whose classes Dog, Cat and Rain have once, twice and thrice this PSDS1.

    `found` of 10 dogs are detected in each length but two: 9 of 10 over 3 s, and none exists from 1 to 3 s.
    """
    per_class = {label: {"event_f1": f1, "psds1": psds1 * (1 + k)} for k, label in enumerate(("Dog", "Cat", "Rain"))}
    by_length = {"Dog": {name: [found, 10] for name in LENGTHS} | {"over 3 s": [9, 10], "1 to 3 s": [0, 0]}}
    return {"seed": seed, "event_f1_macro": f1, "psds1": psds1, "per_class": per_class, "by_length": by_length}


RUNS = [run_of(1, 0.3, 0.20, 1), run_of(2, 0.5, 0.22, 3)]


def test_classes_are_sorted_by_their_sources_and_those_not_scored_left_out() -> None:
    rows, points = limits.by_sources(RUNS, SOURCES, {"Dog": 0.9, "Rain": 0.7})
    assert rows[0] == ["Dog", "2", "3", "0.900", "40.0", "0.210"] and rows[1][3] == "–"
    assert [count for count, _, _ in points] == [2, 5, 9]


def test_a_class_without_a_psds_is_not_shown_as_zero() -> None:
    run = {"per_class": {"Dog": {"event_f1": 0.4, "psds1": None}, "Cat": {"event_f1": None, "psds1": 0.3}}}
    rows, points = limits.by_sources([run], {"Dog": [2, 3], "Cat": [5, 6]}, {})
    assert [row[-2:] for row in rows] == [["40.0", "–"], ["–", "0.300"]] and points == [(5, None, 0.3)]


def test_the_gap_is_split_at_the_same_seed() -> None:
    training = {"mine": {"seed": 1, "set": "strong_real", "event_f1_macro": 0.75}, "other": {"seed": 1, "set": "x"}}
    (text,) = limits.seen_and_unseen(["mine", "other", "third"], {"mine": RUNS, "other": RUNS}, training)
    assert "75.0 % on the strong_real clips" in text and "30.0 % on validation: of the 70.0 points" in text
    assert "25.0 are missing on its training clips too and 45.0 only" in text
    assert limits.seen_and_unseen(["mine"], {"mine": RUNS[1:]}, training) == []
    worse = {"mine": {**training["mine"], "event_f1_macro": 0.2}}
    (text,) = limits.seen_and_unseen(["mine"], {"mine": RUNS}, worse)
    assert "30.0 % on validation: no points are missing only" in text


def test_rank_correlations_need_three_classes_that_differ() -> None:
    rising, falling = [(1.0, 0.1), (2.0, 0.2), (5.0, 0.9)], [(3.0, 0.1), (2.0, 0.2), (1.0, 0.9)]
    lines = limits.correlations({"x": rising, "y": falling, "flat": [(1.0, v) for _, v in rising], "two": rising[:2]})
    assert len(lines) == 2 and "with x: +1.00 (3 classes" in lines[0] and "with y: -1.00" in lines[1]


def test_the_lengths_found_least_and_most_are_named() -> None:
    (text,) = limits.by_length("mine", RUNS)
    assert "least of the events of under 0.5 s (20.0 %) and most of those of over 3 s (90.0 %)" in text
    assert limits.by_length("mine", [{**RUNS[0], "by_length": {}}]) == []


def test_the_range_is_that_of_the_means() -> None:
    results = {name: [{"psds1": value}, {"psds1": value + 0.1}] for name, value in (("a", 0.2), ("b", 0.1), ("c", 0.3))}
    found = limits.range_of_means(("c", "a", "b", "absent"), results, "psds1")
    assert found is not None and [name for name, _ in found] == ["b", "c"] and abs(found[0][1] - 0.15) < 1e-12
    assert limits.range_of_means(("a", "b"), results, "psds1") is None  # fewer than three configs
