"""Aggregations of several annotators' events to one set of labels of a recording, hard or soft.

Every aggregation gives each annotator a weight, all weights of a recording together being 1. The sum of the weights of
those who marked a label at some time is its share; a share of at least `least` makes a hard event of it. A soft
aggregation keeps the shares too, as training targets. The names are those of RealDESED's paper (its Table 1).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sed.data.labels import merge_spans
from sed.data.prepare.annotators import annotator_scores
from sed.data.soft_events import SoftEvent
from sed.data.tables import Event

ROUNDING = 1e-9  # of sums of weights
LOWEST_SCORE = 1e-6  # of an annotator, so that a power of it is not 0


@dataclass
class Annotations:
    """One recording's rows: {annotator: events} that nobody reviewed, and those that a review accepted."""

    unreviewed: dict[str, list[Event]] = field(default_factory=dict)
    accepted: dict[str, list[Event]] = field(default_factory=dict)
    collectors: set[str] = field(default_factory=set)
    """annotators who made the recording"""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One recording that is aggregated."""

    name: str
    annotators: Sequence[str]
    collectors: frozenset[str]
    scores: Sequence[float] | None
    """of the annotators, raised to the power `alpha`; None where a review accepted their events"""


def _equal(task: Task) -> list[float]:
    return [1 / len(task.annotators)] * len(task.annotators)


def _collector(task: Task) -> list[float]:
    found = [float(annotator in task.collectors) for annotator in task.annotators]
    return [weight / sum(found) for weight in found] if any(found) else _equal(task)


def _random(task: Task) -> list[float]:
    chosen = int(np.random.default_rng(zlib.crc32(task.name.encode())).integers(len(task.annotators)))
    return [float(index == chosen) for index in range(len(task.annotators))]


def _weighted(task: Task) -> list[float]:
    if task.scores is None:
        return _equal(task)
    return [score / sum(task.scores) for score in task.scores]


@dataclass(frozen=True)
class Aggregation:
    """An aggregation: the weights of a recording's annotators, and the share that makes a hard event."""

    weigh: Callable[[Task], list[float]]
    least: float = 0.5
    soft: bool = False


AGGREGATIONS = {
    "majority": Aggregation(_equal),
    "intersection": Aggregation(_equal, least=1.0),
    "union": Aggregation(_equal, least=2 * ROUNDING),
    "collector": Aggregation(_collector),
    "random": Aggregation(_random),
    "uniform": Aggregation(_equal, soft=True),
    "weighted": Aggregation(_weighted, soft=True),
}


@dataclass(frozen=True, kw_only=True)
class Aggregated:
    """One recording's labels; `soft` is None for a hard aggregation."""

    events: list[Event]
    soft: list[SoftEvent] | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of an aggregation.

    name: of `AGGREGATIONS`; alpha: power of the annotators' scores (`weighted`); reviewed: where a review accepted rows
    of a recording, these alone count (False: rows that nobody reviewed count, in every recording).
    """

    name: str = "majority"
    alpha: float = 16.0
    reviewed: bool = True


def aggregate(recordings: Mapping[str, Annotations], options: Options) -> dict[str, Aggregated]:
    """Aggregate the annotations of recordings; those without an annotator who counts are left out.

    An annotator without a score (nobody else annotated the same recordings) has the mean score of the others.

    Args:
        recordings: {file name: its annotations}.
        options: how.

    Returns:
        {file name: its labels}.
    """
    aggregation = AGGREGATIONS[options.name]
    scores = annotator_scores(found.unreviewed for found in recordings.values())
    usual = sum(scores.values()) / len(scores) if scores else 1.0
    made = {}
    for name, found in recordings.items():
        reviewed = options.reviewed and bool(found.accepted)
        marked = found.accepted if reviewed else found.unreviewed
        if not marked:
            continue
        powers = [max(scores.get(annotator, usual), LOWEST_SCORE) ** options.alpha for annotator in marked]
        task = Task(
            name=name,
            annotators=list(marked),
            collectors=frozenset(found.collectors),
            scores=None if reviewed else powers,
        )
        soft = shares(list(marked.values()), aggregation.weigh(task))
        made[name] = Aggregated(events=harden(soft, aggregation.least), soft=soft if aggregation.soft else None)
    return made


def shares(annotators: Sequence[Iterable[Event]], weights: Sequence[float]) -> list[SoftEvent]:
    """Return the spans of constant share of every label, in order; neighbours of one label have different shares.

    Args:
        annotators: each one's events; an annotator counts once at any time.
        weights: of the annotators, together 1.
    """
    runs: dict[str, list[tuple[int, float, float]]] = {}
    for annotator, events in enumerate(annotators):
        spans = sorted((event.label, event.onset, event.offset) for event in events)
        for label, onset, offset in merge_spans(spans, touching=True):
            runs.setdefault(label, []).append((annotator, onset, offset))
    found: list[SoftEvent] = []
    for label, own in runs.items():
        times = np.unique([time for _, *borders in own for time in borders])
        active = np.zeros((len(weights), len(times) - 1), bool)
        for annotator, onset, offset in own:
            first, last = np.searchsorted(times, [onset, offset])
            active[annotator, first:last] = True
        sums = (np.asarray(weights) @ active).clip(0, 1)
        spans_of_label: list[SoftEvent] = []
        for onset, offset, share in zip(times[:-1].tolist(), times[1:].tolist(), sums.tolist(), strict=True):
            before = spans_of_label[-1] if spans_of_label else None
            if share <= ROUNDING:
                continue
            if before and before.offset == onset and abs(before.share - share) <= ROUNDING:
                spans_of_label[-1] = before._replace(offset=offset)
            else:
                spans_of_label.append(SoftEvent(onset, offset, label, share))
        found += spans_of_label
    return sorted(found)


def harden(soft: Iterable[SoftEvent], least: float) -> list[Event]:
    """Return, in order, the spans in which a label's share is at least `least`, as events."""
    spans = sorted((event.label, event.onset, event.offset) for event in soft if event.share >= least - ROUNDING)
    return sorted(Event(onset, offset, label) for label, onset, offset in merge_spans(spans, touching=True))
