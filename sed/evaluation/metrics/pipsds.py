"""Post-processing independent PSDS (piPSDS; Ebbers et al., DCASE Workshop 2023).

It is the PSDS with, for each class and at each rate of false positives, the best of several median filters.

It compares models apart from their post-processing, so it is computed from scores before post-processing: the network's
for our models, the submitted ones for other systems.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.exact_deltas import StreamedDeltas
from sed.evaluation.metrics.metric import Entry, Inputs, Measured, Metric, Values
from sed.evaluation.metrics.packages import sed_scores_eval
from sed.evaluation.metrics.psds import MANY, PSDS1, PSDS2, Deltas, Parameters, exact, score_frames
from sed.evaluation.metrics.psds_resampling import Truth, from_all_deltas
from sed.evaluation.metrics.task import Problem

MEDIANS = (0.0, 0.16, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92)
"""lengths of the filters in seconds, 0 for no filter; our choice, as sed_scores_eval prescribes none"""
PARAMETERS: Mapping[str, Parameters] = {"pipsds1": PSDS1, "pipsds2": PSDS2}


def filtered_deltas(problem: Problem, parameters: Parameters, raw: FrameScores, seconds: float) -> Iterable[Deltas]:
    """Count the exact PSDS of scores after a median filter (sed_scores_eval's).

    Args:
        problem: clips, classes and ground truth.
        parameters: of the PSDS.
        raw: scores before any post-processing.
        seconds: length of the filter; 0 for none.

    Returns:
        For each class with ground truth, the changes of the counts; with more classes than MANY, by this project's
        own count instead of the package's.
    """
    if len(problem.present) <= MANY:
        return exact(problem, parameters, raw, median=seconds)[1]
    return StreamedDeltas(problem, parameters, _filtered(problem, raw, seconds) if seconds else raw)


def _filtered(problem: Problem, raw: FrameScores, seconds: float) -> FrameScores:
    """Return median-filtered scores; those of classes without ground truth are 0.

    The package's filter joins neighbouring frames that have the same scores.
    """
    package = sed_scores_eval().base_modules.postprocessing
    tables = list(package.medfilt(score_frames(problem, raw), seconds).values())
    labels = [problem.labels[index] for index in problem.present]
    values = np.zeros((sum(map(len, tables)), len(problem.labels)), raw.values.dtype)
    values[:, problem.present] = np.concatenate([table[labels].to_numpy() for table in tables])
    return FrameScores(
        clips=raw.clips,
        labels=raw.labels,
        start=np.concatenate([[0], np.cumsum([len(table) for table in tables])]),
        onset=np.concatenate([table["onset"].to_numpy() for table in tables]),
        offset=np.concatenate([table["offset"].to_numpy() for table in tables]),
        values=values,
    )


class MeasuredPiPSDS(Measured):
    """Changes of the counts with each filter, and the piPSDS computed from them.

    deltas: {key: for each filter, the changes of each class}.
    """

    def __init__(
        self, problem: Problem, parameters: Mapping[str, Parameters], deltas: Mapping[str, Sequence[Iterable[Deltas]]]
    ) -> None:
        self._problem, self._parameters, self._deltas = problem, parameters, deltas
        once = np.ones((1, len(problem.clips)))  # one sample, which has every clip once
        self._values = {key: value for name in parameters for key, value in self._sample(name, once).items()}

    def numbers(self) -> Mapping[str, float]:
        """Return every value."""
        return {name: float(self._values[name][0]) for name in self._parameters}

    def of_classes(self) -> Mapping[str, np.ndarray]:
        """Return the area under each class's own curve; NaN for classes without ground truth."""
        none = np.array([np.nan])
        return {
            name: np.concatenate([self._values.get(f"{label}\t{name}", none) for label in self._problem.labels])
            for name in self._parameters
        }

    def samplers(self) -> Mapping[str, Callable[[np.ndarray], Values]]:
        """Return one function for each set of parameters."""
        return {name: partial(self._sample, name) for name in self._parameters}

    def _sample(self, name: str, weights: np.ndarray) -> Values:
        truth = Truth.of(self._problem.joined)
        values, areas = from_all_deltas(truth, self._parameters[name], self._deltas[name], weights)
        labels = [self._problem.labels[index] for index in self._problem.present]
        return {name: values} | {f"{label}\t{name}": areas[:, column] for column, label in enumerate(labels)}


class PiPSDS(Metric):
    """piPSDS1 and piPSDS2."""

    def __init__(self, parameters: Mapping[str, Parameters] = PARAMETERS, medians: Sequence[float] = MEDIANS) -> None:
        self._parameters, self._medians = parameters, medians
        self.entries = tuple(
            Entry(
                key=name,
                title=name.replace("pipsds", "piPSDS"),
                heading=name.replace("pipsds", "piPSDS"),
                counted_by=f"sed_scores_eval, best of {len(medians)} median filters, 0 to {max(medians):g} s",
                per_cent=False,
                optional=True,
                shown=frozenset({"closing"}),
            )
            for name in parameters
        )

    def tasks(self, inputs: Inputs) -> Mapping[str, Callable[[], Any]]:
        """Return one task for each PSDS and filter: first those with cross-triggers, which take longer."""
        raw = inputs.raw
        if raw is None:
            return {}
        return {
            f"{name} {place}": partial(filtered_deltas, inputs.problem, self._parameters[name], raw, seconds)
            for name in sorted(self._parameters, reverse=True)
            for place, seconds in enumerate(self._medians)
        }

    def measured(self, inputs: Inputs, done: Mapping[str, Any]) -> MeasuredPiPSDS:
        """Collect the changes of the counts with each filter."""
        deltas = {name: [done[f"{name} {place}"] for place in range(len(self._medians))] for name in self._parameters}
        return MeasuredPiPSDS(inputs.problem, self._parameters, deltas)


PIPSDS = PiPSDS()
