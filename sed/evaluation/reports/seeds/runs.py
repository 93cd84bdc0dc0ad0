"""Tables of configs trained in several runs of a recipe: means of each run, and differences over all seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from sed.evaluation.metrics.table import over_seeds, shown_in
from sed.evaluation.reports.seeds.tables import Pair, Results, difference, table, unit_of_difference, values_of

NUMBERS = shown_in("main")
Trainings = dict[tuple[int, str], dict[str, float]]  # {(seed, run): {key: number}} of one config


def all_runs(runs: Mapping[str, Results], pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Return a table of the means of each run, and one of the differences over the seeds of all runs.

    A run is one execution of the recipe. Trainings of one seed in several runs start from the same random weights of
    the head and see the same clips in the same order, so they are not independent: over all runs a seed counts once, as
    the mean of its trainings. Differences are taken between trainings of the same seed and run, with Student's 95 %
    interval over seeds.

    Args:
        runs: {run: {config: results of its seeds}}.
        pairs: pairs of configs to compare; those with fewer than two seeds in common are left out.

    Returns:
        Lines of Markdown of each table.
    """
    trainings: dict[str, Trainings] = {}
    for name, results in runs.items():
        for config, seeds in results.items():
            trainings.setdefault(config, {}).update({(one["seed"], name): _mean([one]) for one in seeds})
    rows = [
        [
            f"`{config}`",
            *(_of_run(results.get(config, [])) for results in runs.values()),
            *(over_seeds(entry, _by_seed(found)) for entry in NUMBERS),
        ]
        for config, found in trainings.items()
    ]
    margins = [
        [pair.name, *cells]
        for pair in pairs
        if (cells := _margin(trainings.get(pair.a, {}), trainings.get(pair.b, {}))) is not None
    ]
    return (
        table(["config", *runs, *(f"{entry.column}, all" for entry in NUMBERS)], rows),
        table(["margin", "seeds", "trainings", *map(unit_of_difference, NUMBERS)], margins),
    )


def _by_seed(trainings: Trainings) -> list[dict[str, float]]:
    """Return the mean numbers of each seed over its trainings."""
    seeds = dict.fromkeys(seed for seed, _ in trainings)
    return [_mean([numbers for (one, _), numbers in trainings.items() if one == seed]) for seed in seeds]


def _mean(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each of NUMBERS over the results that have it."""
    return {entry.key: fmean(values) for entry in NUMBERS if (values := values_of(runs, entry.key))}


def _of_run(runs: Sequence[Mapping[str, Any]]) -> str:
    """Format the means of the first two of NUMBERS and the number of seeds: `36.81, 0.2615 (3)`; a dash if none."""
    if not runs:
        return "–"
    means = (over_seeds(entry, [_mean(runs)]) for entry in NUMBERS[:2])
    return f"{', '.join(means)} ({len(runs)})"


def _margin(a: Trainings, b: Trainings) -> list[str] | None:
    """Return the cells of the margin b - a: numbers of seeds and trainings, differences; None for one seed or none."""
    both = [one for one in a if one in b]
    differences = _by_seed({one: {key: b[one][key] - a[one][key] for key in a[one].keys() & b[one]} for one in both})
    if len(differences) < 2:
        return None
    cells = [difference(_student(values_of(differences, entry.key)), entry) for entry in NUMBERS]
    return [str(len(differences)), str(len(both)), *cells]


def _student(values: Sequence[float]) -> dict[str, float] | None:
    """Return the mean with Student's 95 % interval; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, half = fmean(values), float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return {"value": mean, "low": mean - half, "high": mean + half}
