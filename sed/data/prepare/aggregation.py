"""Aggregation of several annotators' events to one set of labels per recording, hard or soft.

An aggregation gives each annotator of a recording a weight; the weights in a recording add up to 1. A label's share at
some time is the sum of the weights of the annotators who marked it then. Where the share is at least the aggregation's
`least`, there is a hard event; a soft aggregation also keeps the shares, as training targets. The names of the
aggregations are those of RealDESED's paper (arXiv 2607.16736); rules and constants are those of dataset/dataset.py in
its authors' code (github.com/fschmid56/RealDESED), but for ROUNDING.
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

ROUNDING = 1e-9  # rounding error of a sum of weights
LOWEST_SCORE = 1e-6  # lower scores of an annotator are raised to this, so that not all of a recording's are 0


@dataclass
class Annotations:
    """The annotations of one recording: rows of the tables, of which a review has accepted some and rejected others.

    The rows are disjoint: each is unreviewed or accepted, and those rejected are left out (`clips.read_annotations`).
    """

    unreviewed: dict[str, list[Event]] = field(default_factory=dict)
    """annotator -> events that were not reviewed; empty for one who found none, who counts, too"""
    accepted: dict[str, list[Event]] = field(default_factory=dict)
    """annotator -> events that a review accepted; annotators of whom it accepted no row are not in it"""
    collectors: set[str] = field(default_factory=set)
    """annotators who also made the recording"""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A recording whose annotators get weights."""

    name: str
    """file name of the recording"""
    annotators: Sequence[str]
    collectors: frozenset[str]
    """annotators who also made the recording"""
    scores: Sequence[float] | None
    """each annotator's score, divided by the highest of `annotators`, to the power `alpha`; None if a review accepted
    their events"""


def _equal(task: Task) -> list[float]:
    return [1 / len(task.annotators)] * len(task.annotators)


def _collector(task: Task) -> list[float]:
    """Share all weight equally between the annotators who made the recording, or between all if none of them did."""
    found = [float(annotator in task.collectors) for annotator in task.annotators]
    return [weight / sum(found) for weight in found] if any(found) else _equal(task)


def _random(task: Task) -> list[float]:
    """Give all weight to one annotator, drawn with the recording's name as the seed."""
    chosen = int(np.random.default_rng(zlib.crc32(task.name.encode())).integers(len(task.annotators)))
    return [float(index == chosen) for index in range(len(task.annotators))]


def _weighted(task: Task) -> list[float]:
    """Give weights in proportion to the scores; equal weights to annotators whose events a review accepted."""
    if task.scores is None:
        return _equal(task)
    return [score / sum(task.scores) for score in task.scores]


@dataclass(frozen=True)
class Aggregation:
    """A rule of aggregation."""

    weigh: Callable[[Task], list[float]]
    """function that returns the weights of a recording's annotators, in their order"""
    least: float = 0.5
    """smallest share of a hard event"""
    soft: bool = False
    """whether soft labels are kept, too"""


AGGREGATIONS = {
    "majority": Aggregation(_equal),
    "intersection": Aggregation(_equal, least=1.0),
    "union": Aggregation(_equal, least=2 * ROUNDING),  # any share above 0; `harden` subtracts one ROUNDING
    "collector": Aggregation(_collector),
    "random": Aggregation(_random),
    "uniform": Aggregation(_equal, soft=True),
    "weighted": Aggregation(_weighted, soft=True),
}


@dataclass(frozen=True, kw_only=True)
class Aggregated:
    """Aggregated labels of one recording; `soft` is None for a hard aggregation."""

    events: list[Event]
    soft: list[SoftEvent] | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of an aggregation.

    name: key of `AGGREGATIONS`; alpha: power of the annotators' scores in `weighted`; reviewed: if True, the rows that
    a review accepted count in recordings that have such rows, and the unreviewed rows in others; if False, the
    unreviewed rows in all recordings.
    """

    name: str = "majority"
    alpha: float = 16.0
    reviewed: bool = True


def aggregate(recordings: Mapping[str, Annotations], options: Options) -> dict[str, Aggregated]:
    """Aggregate the annotations of recordings; recordings without rows that count are left out.

    An annotator who shares no recording with another has no score of agreement (`annotator_scores`), and gets the mean
    score of the others. Scores are always computed from the rows that were not reviewed.

    Args:
        recordings: {file name: its annotations}.
        options: settings of the aggregation.

    Returns:
        {file name: its labels}.
    """
    aggregation = AGGREGATIONS[options.name]
    scores = annotator_scores(found.unreviewed for found in recordings.values())
    mean_score = sum(scores.values()) / len(scores) if scores else 1.0
    aggregated = {}
    for name, found in recordings.items():
        reviewed = options.reviewed and bool(found.accepted)
        marked = found.accepted if reviewed else found.unreviewed
        if not marked:
            continue
        raised = [max(scores.get(annotator, mean_score), LOWEST_SCORE) for annotator in marked]
        # relative to the highest, whose power is then 1: at a high alpha, all powers of the scores themselves may be 0
        powers = [(score / max(raised)) ** options.alpha for score in raised]
        task = Task(
            name=name,
            annotators=list(marked),
            collectors=frozenset(found.collectors),
            scores=None if reviewed else powers,
        )
        soft = shares(list(marked.values()), aggregation.weigh(task))
        aggregated[name] = Aggregated(events=harden(soft, aggregation.least), soft=soft if aggregation.soft else None)
    return aggregated


def shares(annotators: Sequence[Iterable[Event]], weights: Sequence[float]) -> list[SoftEvent]:
    """Return the spans, as long as possible, in which a label's share is constant and above 0, sorted by time.

    Args:
        annotators: events of each annotator; overlapping events of one label count once.
        weights: weight of each annotator; they add up to 1.
    """
    runs: dict[str, list[tuple[int, float, float]]] = {}  # label -> (annotator, onset, offset)
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
        sums = np.minimum(np.asarray(weights) @ active, 1)  # a rounded sum may exceed 1, a soft label may not
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
    """Return the spans in which a label's share is at least `least`, as events in order."""
    spans = sorted((event.label, event.onset, event.offset) for event in soft if event.share >= least - ROUNDING)
    return sorted(Event(onset, offset, label) for label, onset, offset in merge_spans(spans, touching=True))
