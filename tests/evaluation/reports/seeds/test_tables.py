"""Markdown tables over seeds: means, margins with published numbers, classes, lengths, every seed."""

from __future__ import annotations

from typing import Any

from sed.evaluation.metrics.f1 import COLLARS
from sed.evaluation.metrics.table import BY_KEY
from sed.evaluation.reports.seeds import tables
from sed.evaluation.reports.seeds.limits import by_sources
from sed.evaluation.reports.seeds.matching import LENGTHS
from sed.evaluation.reports.seeds.tables import Pair

# [found, all] of each length, as earlier versions wrote; `by_length` now adds the false detections
DOG = {"under 0.5 s": [1, 4], "0.5 to 1 s": [0, 0], "1 to 3 s": [2, 2], "over 3 s": [0, 1]}
CAT = {"under 0.5 s": [3, 4], "0.5 to 1 s": [0, 0], "1 to 3 s": [0, 2], "over 3 s": [0, 1]}


def run_of(seed: int, f1: float | None, **more: Any) -> dict[str, Any]:
    return {"seed": seed, "event_f1_macro": f1, "psds1": 0.25, "psds2": None, **more}


def value(middle: float) -> dict[str, float]:
    return {"value": middle, "low": middle - 0.01, "high": middle + 0.02}


def test_systems_have_mean_and_spread_and_their_settings() -> None:
    settings = {"lr": 0.001, "encoder_lr": 0.0001}
    one = run_of(1, 0.4, parameters=7_500_000, steps=10, seconds=60.0, settings=settings)
    remarks = [{"names": ["a_seed2"], "text": "x"}]
    lines = tables.systems({"a": [one, run_of(2, 0.5, seconds=61.0)], "b": [run_of(1, None)]}, remarks)
    assert lines[0].startswith("| config | seeds | EB-F1 % | PSDS1 | PSDS2 |")
    assert lines[2].startswith("| `a` (1) | 2 | 45.00 ± 7.07 | 0.2500 ± 0.0000 | – |")
    assert lines[2].endswith("| 7.50 M | 10 | 0.001 / 0.0001 | 60 |")
    assert lines[3].startswith("| `b` | 1 | – | 0.2500 | – |") and lines[3].endswith("| – | – | – / – | – |")


def test_margins_stand_beside_what_was_published_in_their_unit() -> None:
    numbers = {"event_f1_macro": value(0.1), "psds1": value(-0.05), "psds2": None}
    found = [
        {"a": "x", "b": "y", "seeds": [1, 2], "numbers": numbers},
        {"a": "y", "b": "z", "seeds": [3], "numbers": numbers},
    ]
    pairs = [Pair(a="x", b="y", title="Y over X", published={"event_f1_macro": "+4.40"})]
    heads, _, first, second, end = tables.margins(found, pairs, [{"names": ["z_seed3"], "text": "t"}])
    assert heads == "| margin | seeds | EB-F1, points | paper | PSDS1 | paper | PSDS2 |"
    assert first == "| Y over X | 2 | +10.00 [+9.00, +12.00] | +4.40 | -0.0500 [-0.0600, -0.0300] | – | – |"
    assert second.startswith("| `z` over `y` (1) | 1 | +10.00") and end == ""


def test_class_gains_are_sorted_by_the_length_of_events() -> None:
    def margin(gain: float) -> dict[str, Any]:
        return {"per_class": {label: {"event_f1": value(gain), "psds1": None} for label in ("Dog", "Cat", "Rain")}}

    lines = tables.class_gains(margin(0.1), margin(0.2), {"Dog": 2.0, "Cat": 0.5}, ("new", "old"))
    assert lines[0] == "| class | median event, s | new: EB-F1 | PSDS1 | old: EB-F1 |"
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| Rain", "| Cat", "| Dog"]
    assert lines[4] == "| Dog | 2.00 | +10.00 [+9.00, +12.00] | – | +20.00 [+19.00, +22.00] |"
    assert tables.class_gains(margin(0.1), None, {}, ("new", "old"))[2].endswith("| – |")


def test_a_label_or_a_set_opens_no_column_and_no_element() -> None:
    """A soundbank's folders name the labels."""
    gain = {"per_class": {"Dog|<b>Cat": {"event_f1": value(0.1), "psds1": None}}}
    assert tables.class_gains(gain, None, {}, ("new", "old"))[2].startswith("| Dog&#124;&#60;b&#62;Cat | – |")
    assert " a&#124;b " in tables.every_seed({"a": [run_of(1, 0.5, tuned_on="a|b")]}, [])[2]
    result = {"per_class": {"Dog|<b>Cat": {"event_f1": 0.5, "psds1": 0.25}}}
    assert by_sources([result], {"Dog|<b>Cat": [1, 2]}, {})[0][0][0] == "Dog&#124;&#60;b&#62;Cat"


def test_events_found_are_pooled_over_classes_and_seeds() -> None:
    runs = [run_of(1, 0.1, by_length={"Dog": DOG, "Cat": CAT}), run_of(2, 0.1, by_length={"Dog": DOG})]
    assert tables.found_share(runs, "under 0.5 s") == (1 + 3 + 1) / 12
    assert tables.found_share(runs, "0.5 to 1 s") is None
    lines = tables.lengths({"a": runs, "b": [run_of(1, 0.1)]})
    assert lines[0] == f"| config | {' | '.join(LENGTHS)} |"
    assert lines[2:] == ["| `a` | 41.7 | – | 66.7 | 0.0 |", ""]
    assert tables.lengths({"b": [run_of(1, 0.1)]}) == []


def test_every_seed_has_a_row() -> None:
    done = run_of(2, 0.5, post_processing=["median"], tuned_on="public", device="a device")
    lines = tables.every_seed({"a": [run_of(1, None), done]}, [])
    assert lines[2:4] == [
        "| `a` | 1 | – | 0.2500 | – | none | – | – |",
        "| `a` | 2 | 50.00 | 0.2500 | – | median | public | a device |",
    ]


def test_a_difference_without_a_value_is_a_dash() -> None:
    assert tables.difference(None, BY_KEY["psds1"]) == "–"
    assert tables.difference(value(0.0), BY_KEY["psds1"]) == "+0.0000 [-0.0100, +0.0200]"


def test_f1_by_collar_is_the_mean_over_classes_and_seeds() -> None:
    def of(dog: list[int]) -> dict[str, Any]:
        return {f"{collar:g}": {"Dog": dog, "Cat": [0, 0, 3]} for collar in COLLARS}  # no Cat in the ground truth

    lines = tables.collars({"a": [{"by_collar": of([1, 2, 0])}, {"by_collar": of([0, 2, 5])}], "b": [{}]})
    assert lines[0] == "| config | 20 ms | 50 ms | 100 ms | 200 ms | 300 ms | 500 ms | 1000 ms |"
    assert lines[2] == "| `a` |" + " 33.3 |" * 7 and len(lines) == 4
    older = {collar: counts for collar, counts in of([1, 2, 0]).items() if collar != "0.3"}  # 300 ms is a newer collar
    assert tables.collars({"a": [{"by_collar": older}]})[2] == "| `a` |" + " 66.7 |" * 4 + " – |" + " 66.7 |" * 2
    assert tables.collars({"b": [{}]}) == []


def test_fragments_are_shares_of_all_events() -> None:
    runs = [
        {"fragments": {"events": 10, "split": 1, "merged": 0}},
        {"fragments": {"events": 30, "split": 1, "merged": 4}},
    ]
    assert tables.fragments({"a": runs, "b": [{}]})[2] == "| `a` | 5.0 | 10.0 |"
    assert tables.fragments({"b": [{}]}) == []
