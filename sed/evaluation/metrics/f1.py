"""F1 of detections: event-based and segment-based by sed_eval, intersection-based as psds_eval counts it.

Ratios and averages are computed here, because the packages differ in which classes they drop from the macro average if
nothing was detected. Here a class with ground truth always counts in it, one without never does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sed.evaluation.metrics.decode import stack
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Place, Values, mean_of_known
from sed.evaluation.metrics.packages import sed_eval
from sed.evaluation.metrics.psds import Parameters
from sed.evaluation.metrics.task import Problem

# (P: ...) is the AST-SED paper's value; egs/desed/README.md names all sources.
ONSET_COLLAR = 0.2  # seconds (P: 200 ms)
OFFSET_SHARE = 0.2  # of the true event's length: collar of its offset if that is more than the onset's (P: 20 %)
SEGMENT = 1.0  # seconds: length of a segment
COLLARS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # seconds; `--scores collars` has all but ONSET_COLLAR
# As in DCASE task 4; F1 depends on dtc and gtc alone.
INTERSECTION = Parameters(dtc=0.5, gtc=0.5, cttc=0.3, alpha_ct=0.0, alpha_st=0.0, e_max=100.0)
# Places that show the macro F1 of each kind that is computed in every scoring.
OF_EVERY_RESULT: frozenset[Place] = frozenset({"closing", "terminal", "results", "card", "runs"})


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of events or segments, each (..., classes): true positives, detected ones and true ones.

    The shape is (classes,) for a set, (clips, classes) for its clips, (samples, classes) for bootstrap samples.
    """

    tp: np.ndarray
    system: np.ndarray
    truth: np.ndarray

    def resampled(self, weights: np.ndarray) -> Counts:
        """Sum counts (clips, classes) over each sample; weights (samples, clips): how often each clip is drawn."""
        return Counts(tp=weights @ self.tp, system=weights @ self.system, truth=weights @ self.truth)

    def total(self) -> Counts:
        """Sum counts (clips, classes) over clips: (classes,)."""
        return Counts(tp=self.tp.sum(0), system=self.system.sum(0), truth=self.truth.sum(0))

    def ratios(self) -> dict[str, np.ndarray]:
        """Return precision, recall and f1 of each class; NaN for a class without ground truth."""
        with np.errstate(invalid="ignore", divide="ignore"):
            has = self.truth > 0
            precision = np.where(has, self.tp / np.maximum(self.system, 1), np.nan)
            recall = np.where(has, self.tp / np.maximum(self.truth, 1), np.nan)
            f1 = np.where(has, 2 * self.tp / np.maximum(self.system + self.truth, 1), np.nan)
        return {"f1": f1, "precision": precision, "recall": recall}

    def macro(self) -> np.ndarray:
        """Return the mean F1 (...) over the classes that have ground truth; NaN when none has."""
        return mean_of_known(self.ratios()["f1"])

    def macro_psds_eval(self) -> np.ndarray:
        """Return the mean F1 (...) over classes with a true positive, as psds_eval's `compute_macro_f_score` does."""
        f1 = self.ratios()["f1"]
        return mean_of_known(np.where(self.tp > 0, f1, np.nan))

    def micro(self) -> np.ndarray:
        """Return the F1 (...) of all classes together, also of those without ground truth; NaN without true events."""
        total = (self.system + self.truth).sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.truth.sum(-1) > 0, 2 * self.tp.sum(-1) / total, np.nan)


def _by_clip(problem: Problem, detections: EventTable, make: Callable[..., Any], *, seconds: str = "") -> Counts:
    """Count what each clip adds to the totals that sed_eval keeps.

    Only the labels that occur in a clip are passed: with hundreds of classes the package took 50 ms per clip.

    Args:
        problem: clips, classes and ground truth.
        detections: decisions.
        make: constructor of one of sed_eval's metrics, called with `event_label_list`.
        seconds: name of the argument of its `evaluate` that takes the clip's duration; empty if it has none.

    Returns:
        Counts (clips, classes).
    """
    rows = np.zeros((3, len(problem.clips), len(problem.labels)))
    column = {label: index for index, label in enumerate(problem.labels)}
    pairs = zip(problem.lists(problem.truth), problem.lists(detections), strict=True)
    for clip, (truth, found) in enumerate(pairs):
        here = sorted({event["event_label"] for event in (*truth, *found)})
        if not here:
            continue
        metric = make(event_label_list=here)
        metric.evaluate(truth, found, **({seconds: float(problem.durations[clip])} if seconds else {}))
        for label in here:
            rows[:, clip, column[label]] = [metric.class_wise[label][key] for key in ("Ntp", "Nsys", "Nref")]
    return Counts(tp=rows[0], system=rows[1], truth=rows[2])


def event_counts(
    problem: Problem, detections: EventTable, *, collar: float = ONSET_COLLAR, offsets: bool = True
) -> Counts:
    """Count events by sed_eval: onsets within a collar, offsets within it or OFFSET_SHARE of the event if that is more.

    Detections of no length or beyond their recording, which segments and intersections leave out (`Problem.inside`),
    count here as in sed_eval.

    Args:
        problem: clips, classes and ground truth.
        detections: decisions.
        collar: largest error of an onset in seconds, and of an offset unless a fifth of the event is more.
        offsets: whether the offset must be within its collar, too.

    Returns:
        Counts (clips, classes).
    """
    make = partial(
        sed_eval().sound_event.EventBasedMetrics,
        t_collar=collar,
        percentage_of_length=OFFSET_SHARE,
        evaluate_offset=offsets,
    )
    return _by_clip(problem, detections, make)


def segment_counts(problem: Problem, detections: EventTable) -> Counts:
    """Count segments of one second by sed_eval; return counts (clips, classes)."""
    make = partial(sed_eval().sound_event.SegmentBasedMetrics, time_resolution=SEGMENT)
    return _by_clip(problem, problem.inside(detections), make, seconds="evaluated_length_seconds")


def intersection_counts(problem: Problem, detections: EventTable, parameters: Parameters = INTERSECTION) -> Counts:
    """Count by intersection, clip by clip, as psds_eval does: true positives are events, false positives detections.

    `system` is the sum of true and false positives, so that each class's F1 is psds_eval's. Tests compare the totals
    with the package, which leaves classes without a true positive out of its average (`macro_psds_eval`).

    Args:
        problem: clips, classes and ground truth.
        detections: decisions.
        parameters: the criteria.

    Returns:
        Counts (clips, classes).
    """
    detections = problem.inside(detections)
    one = stack([detections], len(problem.clips), len(problem.labels))
    found = point_counts(problem, parameters, one)
    tp, system, truth = np.zeros((3, len(problem.clips), len(problem.labels)))
    np.add.at(truth, (problem.truth.clip, problem.truth.label), 1.0)
    np.add.at(system, (detections.clip, detections.label), 1.0)  # stays for classes without ground truth: all false
    tp[:, problem.present] = found.tp[:, 0]
    system[:, problem.present] = found.tp[:, 0] + found.fp[:, 0]
    return Counts(tp=tp, system=system, truth=truth)


class MeasuredF1(Measured):
    """Counts (clips, classes) of one kind of F1 (`event`, `segment` ...), and their ratios.

    keys: names of the metric's entries; averages that have none are left out.
    """

    def __init__(self, kind: str, problem: Problem, counts: Counts, keys: Collection[str]) -> None:
        self.kind, self.counts, self._keys = kind, counts, keys
        self._labels, self._present = problem.labels, problem.present

    def numbers(self) -> Mapping[str, float]:
        """Return the averages."""
        return {key: float(value) for key, value in self._averages(self.counts.total()).items()}

    def _averages(self, counts: Counts) -> Values:
        """Return those averages (...) of counts (..., classes) that the metric has an entry for."""
        averages = {"macro": counts.macro(), "micro": counts.micro(), "macro_psds_eval": counts.macro_psds_eval()}
        named = {f"{self.kind}_f1_{name}": value for name, value in averages.items()}
        return {key: value for key, value in named.items() if key in self._keys}

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return F1, precision and recall of each class, and for event-based F1 the number of its detections."""
        detections = {"detections": self.counts.system.sum(0).astype(int)} if self.kind == "event" else {}
        return detections | {f"{self.kind}_{ratio}": row for ratio, row in self.counts.total().ratios().items()}

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return a single function: counts of a sample are sums over its clips."""
        return {self.kind: self._sample}

    def _sample(self, weights: np.ndarray) -> Values:
        """Return the averages and class-wise ratios (samples,); weights (samples, clips)."""
        counts = self.counts.resampled(weights)
        values = self._averages(counts)
        for ratio, columns in counts.ratios().items():
            for index in self._present:
                values[f"{self._labels[index]}\t{self.kind}_{ratio}"] = columns[:, index]
        return values


class F1(Metric):
    """Macro and micro F1 of detections, counted in one way.

    kind is the prefix of the keys; count returns Counts (clips, classes). by_package describes psds_eval's own macro
    average, which then is an entry, too. The other arguments are those of `Entry`; the micro average has no classes,
    shown and meaning.
    """

    def __init__(
        self,
        kind: str,
        heading: str,
        counted_by: str,
        count: Callable[[Problem, EventTable], Counts],
        *,
        classes: tuple[tuple[str, str], ...] = (),
        shown: frozenset[Place] = frozenset(),
        optional: bool = False,
        by_package: str | None = None,
        meaning: str = "",
    ) -> None:
        self._kind, self._count = kind, count
        macro = Entry(
            key=f"{kind}_f1_macro",
            title=f"{heading}, macro",
            heading=heading,
            counted_by=counted_by,
            per_cent=True,
            classes=classes,
            shown=shown | (frozenset() if optional else OF_EVERY_RESULT),
            optional=optional,
            meaning=meaning,
        )
        micro = Entry(
            key=f"{kind}_f1_micro",
            title=f"{heading}, micro",
            heading=f"{heading}, micro",
            counted_by=counted_by,
            per_cent=True,
            optional=optional,
        )
        self.entries: tuple[Entry, ...] = (macro, micro)
        if by_package is not None:
            self.entries += (
                Entry(
                    key=f"{kind}_f1_macro_psds_eval",
                    title=f"{heading}, macro of psds_eval",
                    heading=f"{heading} (psds_eval)",
                    counted_by=by_package,
                    per_cent=True,
                ),
            )

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Counts]]:
        """Return one task; none without detections."""
        found = inputs.detections
        return {} if found is None else {self._kind: lambda: self._count(inputs.problem, found)}

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> MeasuredF1:
        """Return the counts with their ratios."""
        return MeasuredF1(self._kind, inputs.problem, done[self._kind], {entry.key for entry in self.entries})


EVENT_F1 = F1(
    "event",
    "EB-F1",
    "sed_eval, collar 200 ms / 20 %",
    event_counts,
    classes=(("event_f1", "EB-F1"), ("event_precision", "precision"), ("event_recall", "recall")),
    shown=frozenset({"published", "main", "seeds", "margins"}),
    meaning="events found: label, onset within 0.2 s, offset within 0.2 s or a fifth of the length; mean over labels",
)
SEGMENT_F1 = F1(
    "segment",
    "segment F1",
    "sed_eval, 1 s",
    segment_counts,
    classes=(("segment_f1", "segment F1"),),
)
INTERSECTION_F1 = F1(
    "intersection",
    "intersection F1",
    "psds_eval, 0.5 / 0.5",
    intersection_counts,
    by_package="psds_eval, 0.5 / 0.5, classes without a true positive left out",
)
ONSET_F1 = F1(
    "onset",
    "onset F1",
    "sed_eval, collar 200 ms, onsets only",
    partial(event_counts, offsets=False),
    optional=True,
)
COLLAR_F1 = tuple(
    F1(
        f"event_{1000 * collar:.0f}ms",
        f"EB-F1 at {1000 * collar:.0f} ms",
        f"sed_eval, collar {1000 * collar:.0f} ms / 20 %",
        partial(event_counts, collar=collar),
        optional=True,
    )
    for collar in COLLARS
    if collar != ONSET_COLLAR
)
