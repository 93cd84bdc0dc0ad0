"""Interface of a metric: its entries in the metric table, its inputs, and its values.

A metric is a class that derives from `Metric`, in a file of its own, and one entry in `sed.evaluation.metrics.table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from sed.config import Parser
    from sed.data.scores import FrameScores
    from sed.evaluation.metrics.decode import Decoded
    from sed.evaluation.metrics.events import EventTable
    from sed.evaluation.metrics.task import Problem

# Where a number appears besides result.json, report.html and sed.bin.compare, which have all numbers.
Place = Literal[
    "closing",  # last lines of sed.bin.score
    "terminal",  # sed.bin.results on the terminal
    "results",  # columns of RESULTS.md
    "card",  # card of a packed model
    "published",  # compared with published numbers: RESULTS.md, report.html, sed.bin.compare, ablations
    "main",  # the few that stand for a system: cards of report.html, tables over seeds, choice of learning rates
    "seeds",  # columns of a table of systems with several seeds
    "margins",  # paired differences over seeds that `seeds.reduce.margin` computes; tables of them show those of "main"
    "runs",  # kept in runs.jsonl for the newest run; for earlier ones: "main" (`sed.evaluation.reports.seeds.store`)
]
Values = dict[str, np.ndarray]
"""{name of a number: its value in each bootstrap sample (samples,)}"""


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of values (..., classes), without those that are NaN; NaN where all are."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(-1) / known.sum(-1))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One number of result.json and how it is shown.

    Attributes:
        key: name in result.json.
        title: name in the rows of reports.
        heading: name in the heads of tables, without its unit.
        counted_by: how it is counted, mostly a package and its parameters.
        per_cent: whether it is shown times 100 with a % sign and two decimals; otherwise as a fraction with four.
        higher_is_better: direction of the metric.
        optional: whether result.json lacks it, instead of holding null, when it was not computed.
        classes: (name in result.json, heading) of its class-wise numbers that the report's table of classes shows.
        shown: places that show it.
        meaning: what it measures, in a few words, for the report's cards.
        undefined: why a class that has true events may have no such number, for the report's table of classes.
    """

    key: str
    title: str
    heading: str
    counted_by: str
    per_cent: bool
    higher_is_better: bool = True
    optional: bool = False
    classes: tuple[tuple[str, str], ...] = ()
    shown: frozenset[Place] = frozenset()
    meaning: str = ""
    undefined: str = "undefined"

    @property
    def factor(self) -> int:
        """Factor from the fraction in result.json to the number shown: 100 or 1."""
        return 100 if self.per_cent else 1

    @property
    def column(self) -> str:
        """Heading with its unit, and an arrow if lower is better."""
        return self.heading + (" %" if self.per_cent else "") + ("" if self.higher_is_better else " ↓")

    @property
    def row(self) -> str:
        """Title with its unit, and an arrow if lower is better."""
        return self.title + (", %" if self.per_cent else "") + ("" if self.higher_is_better else " ↓")

    def plain(self, value: float, sign: str = "") -> str:
        """Format a value in the entry's unit, without the unit: `59.60`, `0.5140`; sign "+" for differences."""
        return f"{self.factor * value:{sign}.{2 if self.per_cent else 4}f}"

    def text(self, value: float | None) -> str:
        """Format a value with its unit: `59.60 %`, `0.5140`; a dash for None."""
        return "–" if value is None else self.plain(value) + (" %" if self.per_cent else "")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs of the metrics; None for those that a submission lacks.

    Attributes:
        problem: clips, classes and ground truth.
        detections: decisions at one threshold of each class (F1, error rate, kinds of errors).
        points: decisions at every operating point (PSDS).
        scores: frame scores after post-processing (threshold-free PSDS; mpAUC: `segment_auc`).
        raw: frame scores before any post-processing (piPSDS: `pipsds`).
    """

    problem: Problem
    detections: EventTable | None
    points: Decoded | None
    scores: FrameScores | None
    raw: FrameScores | None = None


class Measured(Protocol):
    """Values of a metric, and functions that recompute them on resampled clips."""

    def numbers(self) -> Mapping[str, float]:
        """Return {key of an entry: value}; NaN where it is undefined."""
        ...

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return class-wise numbers {name: (classes,)}; ratios are NaN for a class without ground truth."""
        ...

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return functions that recompute the numbers on bootstrap samples, by names of the metric's choice.

        Each takes weights (samples, clips), how often a sample draws each clip, and returns some of the numbers, each
        (samples,). A class-wise number is named `label\\tname`. The functions together return every number of the
        metric, except class-wise counts, so that each gets an interval; they run in parallel. A metric without
        functions gets no intervals.
        """
        return {}


class Metric(Protocol):
    """A metric: its entries in the metric table, independent tasks that compute it, and values from their results."""

    entries: tuple[Entry, ...]

    def add_arguments(self, parser: Parser) -> None:  # noqa: ARG002 - for metrics with options
        """Add the metric's options to sed.bin.score; most metrics have none."""
        return

    def configured(self, options: Mapping[str, Any]) -> Metric:  # noqa: ARG002 - for metrics with options
        """Return the metric with the values of its options (all of sed.bin.score's, by name)."""
        return self

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Any]]:
        """Return {name: function to call}, the slowest first; empty if the inputs do not allow the metric."""
        ...

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> Measured:
        """Return the values from the results of `tasks`. done: {name of a task: its result}."""
        ...
