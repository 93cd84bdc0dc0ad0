"""Kinds of errors: by hand, against sets of milliseconds and sed_eval's pairs, and how they add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from oracles import seeds
from problems import detections, problem

from sed.evaluation.metrics.error_kinds import ERROR_KINDS, KINDS, Kinds, errors_of
from sed.evaluation.metrics.f1 import event_counts
from sed.evaluation.metrics.metric import Inputs


def spans(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs, float).reshape(-1, 2)


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [
        (spans((1, 3)), spans((1, 3)), {}),
        (spans((1, 3)), spans(), {}),
        (spans(), spans((1, 3)), {"spurious": 1}),
        (spans((1, 3)), spans((3, 4)), {"spurious": 1}),  # touching shares no time
        (spans((1, 3)), spans((1.5, 3.2)), {"misplaced": 1}),
        (spans((1, 3)), spans((1, 3), (1.1, 2.9)), {"duplicate": 1, "split": 1}),
        (spans((1, 3)), spans((1, 3), (2, 2.5)), {"duplicate": 1, "split": 1}),
        (spans((1, 3)), spans((1, 1.9), (2.1, 3)), {"misplaced": 2, "split": 1}),
        (spans((1, 2), (3, 4)), spans((1, 4)), {"misplaced": 1, "merged": 2}),
        # the first detection fits both events, the second one of them: two pairs
        (spans((1, 1.2), (1.15, 1.35)), spans((1.1, 1.3), (0.85, 1.1)), {}),
    ],
)
def test_errors_are_those_counted_by_hand(true: np.ndarray, found: np.ndarray, expected: dict[str, int]) -> None:
    assert errors_of(true, found) == dict.fromkeys(KINDS, 0) | expected


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_false_alarms_of_sed_eval_are_of_one_kind_each_and_spurious_ones_are_those_of_a_grid(seed: int) -> None:
    made = problem(seed)
    found = detections(seed, made)
    kinds, counts = Kinds.of(made, found), event_counts(made, found)
    right = kinds.detections - sum(kinds.wrong[kind] for kind in ("misplaced", "duplicate", "spurious"))
    np.testing.assert_array_equal(right, counts.tp)  # sed_eval's pairs
    np.testing.assert_array_equal(kinds.detections, counts.system)
    np.testing.assert_array_equal(kinds.events, counts.truth)

    def cells(onset: float, offset: float) -> set[int]:
        return {*range(round(1000 * onset), round(1000 * offset))}

    def chosen(table, clip: int, label: int) -> list[tuple[float, float]]:  # type: ignore[no-untyped-def]
        rows = (table.clip == clip) & (table.label == label)
        return list(zip(table.onset[rows], table.offset[rows], strict=True))

    for clip, label in np.ndindex(kinds.events.shape):
        events, mine = chosen(made.truth, clip, label), chosen(found, clip, label)
        alone = 0
        for a, b in mine:
            touches = any(cells(a, b) & cells(*event) for event in events)
            near = any(abs(a - c) <= 0.2 and abs(b - d) <= max(0.2, 0.2 * (d - c)) for c, d in events)
            alone += not touches and not near
        assert kinds.wrong["spurious"][clip, label] == alone


def test_shares_are_of_all_detections_or_events_also_in_a_sample() -> None:
    made = problem(4, clips=6, events=30)
    inputs = Inputs(problem=made, detections=detections(4, made, count=30), points=None, scores=None)
    measured = ERROR_KINDS.measured(inputs, {name: task() for name, task in ERROR_KINDS.tasks(inputs).items()})
    numbers, kinds = measured.numbers(), measured.kinds
    assert numbers["errors_spurious"] == kinds.wrong["spurious"].sum() / kinds.detections.sum() > 0
    assert numbers["errors_split"] == kinds.wrong["split"].sum() / kinds.events.sum()
    (sample,) = measured.samplers().values()
    twice = np.zeros((1, 6))
    twice[0, 2] = 2.0  # a clip drawn twice has the shares of the clip
    assert sample(twice)["errors_misplaced"][0] == kinds.wrong["misplaced"][2].sum() / kinds.detections[2].sum()
