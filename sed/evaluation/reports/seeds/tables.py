"""Markdown tables on configs trained with several seeds: systems, paired margins, classes, lengths, every seed.

Independent of the corpus: the caller provides the configs to compare, titles and published numbers.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sed.evaluation.metrics.f1 import COLLARS
from sed.evaluation.metrics.metric import Entry
from sed.evaluation.metrics.table import BY_KEY, over_seeds, shown_in
from sed.evaluation.reports.markdown import prose
from sed.evaluation.reports.seeds.matching import LENGTHS, f1
from sed.evaluation.reports.seeds.remarks import Remarks, marks, training

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""{config: the reduced result (`reduce.reduced`) of each seed}"""
Margins = Sequence[Mapping[str, Any]]
"""results of `reduce.margin`"""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two configs to compare, by the difference b - a.

    published: {key of result.json: the published difference as text}.
    """

    a: str
    b: str
    title: str = ""
    published: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Title, or else the names of the configs."""
        return self.title or f"`{self.b}` over `{self.a}`"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, followed by an empty line."""
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows), ""]


def values_of(runs: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """Return the values of `key` in the runs that have it."""
    return [run[key] for run in runs if run.get(key) is not None]


def difference(value: Mapping[str, float] | None, entry: Entry) -> str:
    """Format a difference {`value`, `low`, `high`}: `+1.51 [+0.26, +2.87]`; a dash for None."""
    if value is None:
        return "–"
    middle, low, high = (entry.plain(value[key], "+") for key in ("value", "low", "high"))
    return f"{middle} [{low}, {high}]"


def unit_of_difference(entry: Entry) -> str:
    """Return the heading of a column of differences of a number, with their unit."""
    return f"{entry.heading}, points" if entry.per_cent else entry.heading


def systems(results: Results, remarks: Remarks) -> list[str]:
    """Return a table of configs: mean and spread over seeds, size, steps, learning rates, seconds of training.

    Args:
        results: {config: its seeds}, in the order of the rows.
        remarks: remarks whose footnote marks are set at the configs that they name.

    Returns:
        Lines of Markdown.
    """
    columns = shown_in("seeds")
    rows = []
    for name, runs in results.items():
        parameters = next((run["parameters"] for run in runs if run.get("parameters")), None)
        settings = runs[0].get("settings", {})
        seconds = values_of(runs, "seconds")
        rows.append(
            [
                f"`{name}`{marks(remarks, *(training(name, run['seed']) for run in runs))}",
                str(len(runs)),
                *(over_seeds(entry, runs) for entry in columns),
                f"{parameters / 1e6:.2f} M" if parameters else "–",
                str(runs[0].get("steps") or "–"),
                f"{settings.get('lr', '–')} / {settings.get('encoder_lr', '–')}",
                f"{statistics.fmean(seconds):.0f}" if seconds else "–",
            ]
        )
    numbers = (entry.column for entry in columns)
    return table(["config", "seeds", *numbers, "parameters", "steps", "rates", "seconds"], rows)


def margins(found: Margins, pairs: Sequence[Pair], remarks: Remarks) -> list[str]:
    """Return a table of paired differences with their intervals, beside published differences.

    Args:
        found: results of `reduce.margin`.
        pairs: titles and published values; differences of other pairs are named by their configs.
        remarks: remarks whose footnote marks are set at differences of the trainings that they name.

    Returns:
        Lines of Markdown.
    """
    named = {(pair.a, pair.b): pair for pair in pairs}
    published = shown_in("published")
    heads = ["margin", "seeds"]
    for entry in shown_in("main"):
        heads += [unit_of_difference(entry), *(["paper"] if entry in published else [])]
    rows = []
    for one in found:
        a, b, seeds = one["a"], one["b"], one["seeds"]
        pair = named.get((a, b), Pair(a=a, b=b))
        trainings = [training(config, seed) for config in (a, b) for seed in seeds]
        row = [pair.name + marks(remarks, *trainings), str(len(seeds))]
        for entry in shown_in("main"):
            row.append(difference(one["numbers"][entry.key], entry))
            row += [pair.published.get(entry.key, "–")] if entry in published else []
        rows.append(row)
    return table(heads, rows)


def class_gains(
    gain: Mapping[str, Any], before: Mapping[str, Any] | None, seconds: Mapping[str, float], names: tuple[str, str]
) -> list[str]:
    """Return a table of the differences class by class, shortest events first.

    Args:
        gain: a margin as `reduce.margin` makes it.
        before: another margin, whose EB-F1 is shown beside; None without one.
        seconds: {label: median length of its events}.
        names: names of the two margins in the heads.

    Returns:
        Lines of Markdown.
    """
    event_f1, psds = BY_KEY["event_f1_macro"], BY_KEY["psds1"]
    rows = []
    for label in sorted(gain["per_class"], key=lambda name: seconds.get(name, 0.0)):
        own = gain["per_class"][label]
        row = [prose(label), f"{seconds[label]:.2f}" if label in seconds else "–"]
        row += [difference(own["event_f1"], event_f1), difference(own["psds1"], psds)]
        row.append(difference(before["per_class"][label]["event_f1"], event_f1) if before else "–")
        rows.append(row)
    heads = [
        "class",
        "median event, s",
        f"{names[0]}: {event_f1.heading}",
        psds.heading,
        f"{names[1]}: {event_f1.heading}",
    ]
    return table(heads, rows)


def found_share(runs: Sequence[Mapping[str, Any]], length: str) -> float | None:
    """Return the share of the events of this length (of `LENGTHS`) that are found, over runs and classes."""
    counts = [lengths[length] for run in runs for lengths in run.get("by_length", {}).values()]
    total = sum(events for _, events, *_ in counts)
    return sum(found for found, *_ in counts) / total if total else None


def lengths(results: Results) -> list[str]:
    """Return a table of the share of events that are found, by length, in per cent; no lines if no result has it."""
    rows = []
    for name, runs in results.items():
        if any(run.get("by_length") for run in runs):
            shares = [found_share(runs, length) for length in LENGTHS]
            rows.append([f"`{name}`", *map(_per_cent, shares)])
    return table(["config", *LENGTHS], rows) if rows else []


def collars(results: Results) -> list[str]:
    """Return a table of EB-F1 by collar, mean over classes and seeds, in per cent; no lines if no result has it."""
    rows = []
    for name, runs in results.items():
        measured = [run["by_collar"] for run in runs if run.get("by_collar")]
        if measured:
            rows.append([f"`{name}`", *(_per_cent(_f1_at(measured, f"{collar:g}")) for collar in COLLARS)])
    return table(["config", *(f"{1000 * collar:g} ms" for collar in COLLARS)], rows) if rows else []


def _f1_at(measured: Sequence[Mapping[str, Mapping[str, Sequence[int]]]], collar: str) -> float | None:
    """Return the mean F1 at a collar over seeds and the classes with ground truth; older runs lack some collars."""
    values = [f1(counts) for seed in measured for counts in seed.get(collar, {}).values()]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def fragments(results: Results) -> list[str]:
    """Return a table of the shares of split and merged events, in per cent; no lines if no result has them."""
    rows = []
    for name, runs in results.items():
        measured = [run["fragments"] for run in runs if run.get("fragments")]
        events = sum(one["events"] for one in measured)
        if events:
            shares = [sum(one[what] for one in measured) / events for what in ("split", "merged")]
            rows.append([f"`{name}`", *map(_per_cent, shares)])
    return table(["config", "split", "merged"], rows) if rows else []


def _per_cent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def every_seed(results: Results, remarks: Remarks) -> list[str]:
    """Return a table with one row per training: its numbers, post-processing, tuning set and device."""
    columns = shown_in("main")
    rows = [
        [
            f"`{name}`{marks(remarks, training(name, run['seed']))}",
            str(run["seed"]),
            *("–" if run.get(entry.key) is None else entry.plain(run[entry.key]) for entry in columns),
            ", ".join(run.get("post_processing") or ["none"]),
            prose(run.get("tuned_on") or "–"),
            str(run.get("device") or "–"),
        ]
        for name, runs in results.items()
        for run in runs
    ]
    numbers = (entry.column for entry in columns)
    return table(["config", "seed", *numbers, "post-processing", "tuned on", "trained on"], rows)
