"""The PSDS metrics of result.json: PSDS1 and PSDS2 as psds_eval and sed_scores_eval define them, and a custom PSDS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sed.evaluation.metrics.exact_deltas import StreamedDeltas, exact_of_many
from sed.evaluation.metrics.intersections import point_counts
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Values, mean_of_known
from sed.evaluation.metrics.psds import (
    MANY,
    PSDS1,
    PSDS2,
    Deltas,
    Parameters,
    PSDSValue,
    count_points,
    exact,
    own_parameters,
    value_of,
)
from sed.evaluation.metrics.psds_resampling import Truth, from_deltas, from_points, value_of_many

if TYPE_CHECKING:
    from sed.config import Parser

PARTS = 4  # number of tasks among which the operating points of one PSDS are divided
BY_04 = "psds2_psds_eval_04"  # key of PSDS2 as psds_eval up to 0.4 counted it (`psds`)
CLASS_MEAN = "_class_mean"  # suffix of the keys of means over classes


class MeasuredPSDS(Measured):
    """Values of the PSDS by key, such as `psds1` and `psds1_exact`, and their parameters by the key without `_exact`.

    deltas: for each exact PSDS, the changes of each class's counts, for the bootstrap; keys: those of the metric's
    entries.
    """

    def __init__(
        self,
        inputs: Inputs,
        parameters: Mapping[str, Parameters],
        values: Mapping[str, PSDSValue],
        deltas: Mapping[str, Iterable[Deltas]],
        keys: Collection[str],
    ) -> None:
        self.parameters, self.values = parameters, values
        self._inputs, self._deltas, self._keys = inputs, deltas, keys

    def numbers(self) -> Mapping[str, float]:
        """Return every PSDS, and the means over classes that the metric has entries for."""
        means = {f"{name}{CLASS_MEAN}": value.class_mean for name, value in self.values.items()}
        return {name: value.value for name, value in self.values.items()} | {
            name: value for name, value in means.items() if name in self._keys
        }

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return the area under each class's own curve."""
        labels = self._inputs.problem.labels
        return {
            name: np.array([value.per_class.get(label, np.nan) for label in labels])
            for name, value in self.values.items()
        }

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return one function for each exact PSDS, and one for each PSDS at operating points."""
        made: dict[str, Callable[[np.ndarray], Values]] = {}
        for name in self._deltas:
            made[name] = partial(self._from_deltas, name)
        for name in self.parameters if self._inputs.points is not None else ():
            made[name] = partial(self._from_points, name)
        return made

    def _from_deltas(self, name: str, weights: np.ndarray) -> Values:
        truth = Truth.of(self._inputs.problem.joined)  # as for sed_scores_eval, which counted the deltas
        parameters = self.parameters[name.removesuffix("_exact")]
        return self._named(name, *from_deltas(truth, parameters, self._deltas[name], weights))

    def _from_points(self, name: str, weights: np.ndarray) -> Values:
        assert self._inputs.points is not None
        problem, parameters = self._inputs.problem, self.parameters[name]
        truth, counts = Truth.of(problem), point_counts(problem, parameters, self._inputs.points)
        values = self._named(name, *from_points(truth, parameters, counts, weights))
        if BY_04 in self.values and name == "psds2":
            values |= self._named(BY_04, *from_points(truth, parameters, counts, weights, counted_by_04=True))
        return values

    def _named(self, name: str, values: np.ndarray, areas: np.ndarray) -> Values:
        """Name values (samples,), areas (samples, classes) and, if it has an entry, the mean over classes."""
        problem = self._inputs.problem
        labels = [problem.labels[index] for index in problem.present]
        named = {name: values} | {f"{label}\t{name}": areas[:, column] for column, label in enumerate(labels)}
        if f"{name}{CLASS_MEAN}" in self._keys:
            named[f"{name}{CLASS_MEAN}"] = mean_of_known(areas)
        return named


class PSDS(Metric):
    """PSDS by psds_eval at operating points and exactly by sed_scores_eval, for one or several sets of parameters."""

    def __init__(self, entries: tuple[Entry, ...], parameters: Mapping[str, Parameters]) -> None:
        self.entries, self._parameters = entries, dict(parameters)

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Any]]:
        """Return tasks: exact PSDS first, PSDS2 before PSDS1 as its cross-triggers take time, then operating points."""
        problem, scores, points = inputs.problem, inputs.scores, inputs.points
        many = len(problem.present) > MANY
        made: dict[str, Callable[[], Any]] = {}
        if scores is not None:
            for name in sorted(self._parameters, reverse=True):
                measure = exact_of_many if many else exact
                made[f"{name}_exact"] = partial(measure, problem, self._parameters[name], scores)
        if points is not None:
            for name, parameters in self._parameters.items():
                if many:
                    made[f"{name} sums"] = partial(point_counts, problem, parameters, points, by_clip=False)
                    continue
                for part, chunk in enumerate(np.array_split(np.arange(points.points), min(PARTS, points.points))):
                    made[f"{name} {part}"] = partial(count_points, problem, parameters, points, chunk)
        return made

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> MeasuredPSDS:
        """Return the values: exact ones as computed, and operating points reduced to a PSDS."""
        import pandas as pd

        values: dict[str, PSDSValue] = {}
        deltas: dict[str, Iterable[Deltas]] = {}
        problem, scores, many = inputs.problem, inputs.scores, len(inputs.problem.present) > MANY
        for name, parameters in self._parameters.items() if inputs.points is not None else ():
            if many:
                reduced = partial(value_of_many, problem, parameters, done[f"{name} sums"])
            else:
                parts = sorted(key for key in done if key.startswith(f"{name} "))
                reduced = partial(
                    value_of, problem, parameters, pd.concat([done[key] for key in parts], ignore_index=True)
                )
            values[name] = reduced()
            if any(entry.key == BY_04 for entry in self.entries) and name == "psds2":
                values[BY_04] = reduced(counted_by_04=True)
        for name, parameters in self._parameters.items() if scores is not None else ():
            key = f"{name}_exact"
            if many:
                assert scores is not None
                values[key], deltas[key] = done[key], StreamedDeltas(problem, parameters, scores)
            else:
                values[key], deltas[key] = done[key]
        return MeasuredPSDS(inputs, self._parameters, values, deltas, {entry.key for entry in self.entries})


class OwnPSDS(PSDS):
    """A PSDS with parameters from the command line, computed if any of its options is given."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(OWN_ENTRIES, {} if parameters is None else {"psds": parameters})

    def add_arguments(self, parser: Parser) -> None:
        """Add one option for each of `Parameters`."""
        parser.section("a custom PSDS, `psds` in the result, if any of these is given; those not given are PSDS1's")
        for name, text in (
            ("dtc", "detection tolerance criterion"),
            ("gtc", "ground truth intersection criterion"),
            ("cttc", "cross-trigger tolerance criterion"),
            ("alpha-ct", "weight of cross-triggers"),
            ("alpha-st", "weight of the standard deviation over classes"),
        ):
            parser.option(name, None, text, type=float)
        parser.option("e-max", None, "largest effective false positive rate per hour", type=float)

    def configured(self, options: Mapping[str, Any]) -> OwnPSDS:
        """Return the metric with the given parameters; it computes nothing if none is given."""
        names = ("dtc", "gtc", "cttc", "alpha_ct", "alpha_st", "e_max")
        return OwnPSDS(own_parameters(*(options[name] for name in names)))


POINTS, THRESHOLD_FREE = "psds_eval, operating points", "sed_scores_eval, threshold-free"
STANDARD_ENTRIES = (
    Entry(
        key="psds1",
        title="PSDS1",
        heading="PSDS1",
        counted_by=POINTS,
        per_cent=False,
        classes=(("psds1", "PSDS1"),),
        shown=frozenset({"closing", "terminal", "results", "card", "published", "main", "seeds", "margins", "runs"}),
        meaning="events found against false alarms, over all thresholds, from 0 to 1; asks for exact times",
    ),
    Entry(
        key="psds2",
        title="PSDS2",
        heading="PSDS2",
        counted_by=POINTS,
        per_cent=False,
        classes=(("psds2", "PSDS2"),),
        shown=frozenset({"closing", "terminal", "results", "card", "main", "seeds", "margins", "runs"}),
        meaning="as PSDS1, but asks for the right label more than for exact times",
    ),
    Entry(
        key="psds1_exact",
        title="PSDS1, exact",
        heading="PSDS1 exact",
        counted_by=THRESHOLD_FREE,
        per_cent=False,
        shown=frozenset({"closing", "results", "card", "seeds", "margins", "runs"}),
    ),
    Entry(
        key="psds2_exact",
        title="PSDS2, exact",
        heading="PSDS2 exact",
        counted_by=THRESHOLD_FREE,
        per_cent=False,
        shown=frozenset({"results", "card", "margins", "runs"}),
    ),
    Entry(
        key=BY_04,
        title="PSDS2, psds_eval up to 0.4",
        heading="PSDS2 (psds_eval <= 0.4)",
        counted_by=f"{POINTS}, cross-triggers averaged over all K classes",
        per_cent=False,
        shown=frozenset({"results"}),
    ),
    *(
        Entry(
            key=f"{name}{CLASS_MEAN}",
            title=f"{title}, mean over classes",
            heading=f"{title} (class mean)",
            counted_by=f"{counted_by}, alpha_st 0",
            per_cent=False,
        )
        for name, title, counted_by in (
            ("psds1", "PSDS1", POINTS),
            ("psds2", "PSDS2", POINTS),
            ("psds1_exact", "PSDS1 exact", THRESHOLD_FREE),
            ("psds2_exact", "PSDS2 exact", THRESHOLD_FREE),
        )
    ),
)
OWN_ENTRIES = (
    Entry(
        key="psds",
        title="PSDS, own parameters",
        heading="PSDS (own parameters)",
        counted_by=POINTS,
        per_cent=False,
        optional=True,
        shown=frozenset({"closing"}),
    ),
    Entry(
        key="psds_exact",
        title="PSDS, own parameters, exact",
        heading="PSDS exact (own parameters)",
        counted_by="sed_scores_eval",
        per_cent=False,
        optional=True,
    ),
)
STANDARD = PSDS(STANDARD_ENTRIES, {"psds1": PSDS1, "psds2": PSDS2})
OWN = OwnPSDS()
