"""The same configs in other runs of egs/real_sounds, and margins over the seeds of all runs, for RESULTS.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from scipy.stats import ttest_1samp

from sed.evaluation.metrics.table import over_seeds, shown_in
from sed.evaluation.reports.seeds.limits import Results, difference, table, values_of

NUMBERS = shown_in("main")
Trainings = dict[tuple[int, str], dict[str, float]]  # by seed and run


def section(results: Results, others: Mapping[str, Results], pairs: Mapping[tuple[str, str], str]) -> list[str]:
    """Means of each run, and what a difference of two configs is over all seeds.

    others: {run: its sound results}; pairs: {(a, b): what b over a is called}. The 95 % interval is Student's, seeds as
    the sample: a seed's trainings in several runs start from the same heads and see the same clips in the same order,
    and so resemble each other. Compared are trainings of the same seed in the same run.
    """
    if not others:
        return []
    runs = {"this run": results, **{f"`{name}`": those for name, those in others.items()}}
    trainings: dict[str, Trainings] = {}
    for name, those in runs.items():
        for config, seeds in those.items():
            trainings.setdefault(config, {}).update({(one["seed"], name): _mean([one]) for one in seeds})
    rows = [
        [
            f"`{config}`",
            *(_of_run(those.get(config, [])) for those in runs.values()),
            *(over_seeds(entry, values_of(_by_seed(found), entry.key)) for entry in NUMBERS),
        ]
        for config, found in trainings.items()
    ]
    margins = [
        [text, *told]
        for (a, b), text in pairs.items()
        if (told := _margin(trainings.get(a, {}), trainings.get(b, {}))) is not None
    ]
    return [
        "## All runs",
        "",
        "EB-F1 in per cent and PSDS1 of the same configs in other runs too, whose results are in folders of "
        "`results/`; in brackets of how many seeds. Trainings that a run's remarks call faulty are left out. A seed's "
        "trainings in several runs resemble each other, or are the same: over all runs, mean ± standard deviation, a "
        "seed counts once.",
        "",
        *table(["config", *runs, *(f"{entry.column}, all" for entry in NUMBERS)], rows),
        "Differences of trainings of the same seed in the same run, over the seeds of all runs; with Student's 95 % "
        "interval, seeds as the sample, on the same clips.",
        "",
        *table(["margin", "seeds", "trainings", "EB-F1, points", "PSDS1", "PSDS2"], margins),
    ]


def _by_seed(trainings: Trainings) -> list[dict[str, float]]:
    """The numbers of each seed, over its trainings."""
    seeds = dict.fromkeys(seed for seed, _ in trainings)
    return [_mean([numbers for (one, _), numbers in trainings.items() if one == seed]) for seed in seeds]


def _mean(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {entry.key: fmean(values) for entry in NUMBERS if (values := values_of(runs, entry.key))}


def _of_run(runs: Sequence[Mapping[str, float]]) -> str:
    """`36.81, 0.2615 (3)`: the means of the first two numbers and how many seeds they are of; a dash where none."""
    if not runs:
        return "–"
    means = (over_seeds(entry, values_of([_mean(runs)], entry.key)) for entry in NUMBERS[:2])
    return f"{', '.join(means)} ({len(runs)})"


def _margin(a: Trainings, b: Trainings) -> list[str] | None:
    """Seeds, trainings and differences of what both have; None of fewer than two seeds."""
    both = [one for one in a if one in b]
    differences = _by_seed({one: {key: b[one][key] - a[one][key] for key in a[one].keys() & b[one]} for one in both})
    if len(differences) < 2:
        return None
    told = [difference(_student(values_of(differences, entry.key)), entry.factor) for entry in NUMBERS]
    return [str(len(differences)), str(len(both)), *told]


def _student(values: Sequence[float]) -> dict[str, float] | None:
    """The mean, with its 95 % interval; None of fewer than two values."""
    if len(values) < 2:
        return None
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    return {"value": fmean(values), "low": interval.low, "high": interval.high}
