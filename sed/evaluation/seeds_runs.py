"""The same configs in earlier runs of egs/real_sounds, and margins over the trainings of all runs, for RESULTS.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from scipy.stats import ttest_ind

from sed.evaluation.results import cell
from sed.evaluation.seeds_limits import Results, difference, table, values_of

NUMBERS = (("event_f1_macro", "EB-F1 %", 100), ("psds1", "PSDS1", 1))


def section(results: Results, earlier: Mapping[str, Results], pairs: Mapping[tuple[str, str], str]) -> list[str]:
    """Means of each run, and what a difference of two configs is over all trainings.

    earlier: {run: its sound results}; pairs: {(a, b): what b over a is called}. Welch's 95 % interval, trainings as the
    sample: the same seed is another training in another run, for a GPU's sums are not reproducible to the last bit.
    """
    if not earlier:
        return []
    runs = {"this run": results, **{f"`{name}`": those for name, those in earlier.items()}}
    configs = list(dict.fromkeys(config for those in runs.values() for config in those))
    rows = [
        [f"`{config}`"]
        + [
            f"{cell(values_of(those.get(config, []), key), factor)} ({len(those.get(config, []))})"
            for key, _, factor in NUMBERS
            for those in runs.values()
        ]
        for config in configs
    ]
    heads = ["config", *(f"{name}, {run}" for _, name, _ in NUMBERS for run in runs)]
    pooled = {config: [run for those in runs.values() for run in those.get(config, [])] for config in configs}
    margins = [
        [text, f"{len(pooled[b])}, {len(pooled[a])}"]
        + [
            difference(_welch(values_of(pooled[a], key), values_of(pooled[b], key)), factor)
            for key, _, factor in NUMBERS
        ]
        for (a, b), text in pairs.items()
        if a in pooled and b in pooled and min(len(pooled[a]), len(pooled[b])) > 1
    ]
    return [
        "## All runs",
        "",
        "The same configs in earlier runs, whose results are in folders of `results/`; trainings that a run's remarks "
        "call faulty are left out. In brackets: how many trainings.",
        "",
        *table(heads, rows),
        "Differences over the trainings of all runs, with Welch's 95 % interval: trainings are the sample, on the same "
        "clips.",
        "",
        *table(["margin", "trainings", "EB-F1, points", "PSDS1"], margins),
    ]


def _welch(a: Sequence[float], b: Sequence[float]) -> dict[str, float]:
    """The mean of b less that of a, with its 95 % interval."""
    interval = ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    return {"value": fmean(b) - fmean(a), "low": interval.low, "high": interval.high}
