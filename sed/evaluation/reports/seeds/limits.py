"""Tables and sentences on what limits a system: training sources, underfitting or generalisation, lengths of events."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sed.evaluation.reports.markdown import prose
from sed.evaluation.reports.seeds.matching import LENGTHS
from sed.evaluation.reports.seeds.tables import Results, found_share, values_of

Points = list[tuple[int, float | None, float]]  # (sources, average precision of a tagger, PSDS1) of each class


def by_sources(
    runs: Sequence[Mapping[str, Any]], sources: Mapping[str, Sequence[int]], precision: Mapping[str, float]
) -> tuple[list[list[str]], Points]:
    """Compare a system's score in each class with the number of training sources of the class.

    Args:
        runs: results of the system's seeds; a label that none of them has gets no row.
        sources: {label: [number of sources, number of recordings]} of the training set; a source is an original
            recording, from which several of the soundbank may be cut (`sed.bin.split_soundbank --count`).
        precision: {label: average precision of a tagger}; classes may be missing.

    Returns:
        Rows of a table (class, sources, recordings, precision, EB-F1 in per cent, PSDS1), fewest sources first; and
        (sources, precision or None, PSDS1) of each class that has a PSDS1.
    """
    rows: list[list[str]] = []
    points: Points = []
    for label in sorted(sources, key=lambda name: sources[name][0]):
        mine = [run["per_class"][label] for run in runs if label in run["per_class"]]
        if not mine:
            continue
        f1, psds = (_mean(values_of(mine, key)) for key in ("event_f1", "psds1"))
        known = precision.get(label)
        if psds is not None:
            points.append((sources[label][0], known, psds))
        numbers = ["–" if known is None else f"{known:.3f}"]
        numbers += ["–" if f1 is None else f"{100 * f1:.1f}", "–" if psds is None else f"{psds:.3f}"]
        rows.append([prose(label), *map(str, sources[label][:2]), *numbers])
    return rows, points


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def seen_and_unseen(names: Sequence[str], results: Results, training: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Split what the EB-F1 of each system on validation lacks to 100 % into underfitting and generalisation error.

    Args:
        names: configs, in order.
        results: {config: its seeds} on validation.
        training: {config: numbers of one seed on clips that it was trained on, with `seed` and `set`}.

    Returns:
        One sentence per config of which both EB-F1s of that seed are known.
    """
    lines = []
    for name in names:
        if name not in training or name not in results:
            continue
        seed = training[name]["seed"]
        run = next((run for run in results[name] if run["seed"] == seed), None)
        seen = training[name].get("event_f1_macro")
        if run is None or seen is None or run.get("event_f1_macro") is None:
            continue
        unseen = run["event_f1_macro"]
        parts = (
            f"of the {100 * (1 - unseen):.1f} points that are missing, {100 * (1 - seen):.1f} are missing on its "
            f"training clips too and {100 * (seen - unseen):.1f} only where clips and sources are new to it"
        )
        lines.append(
            f"`{name}` (seed {seed}) has an EB-F1 of {100 * seen:.1f} % on the {training[name]['set']} clips that it "
            f"was trained on and {100 * unseen:.1f} % on validation: "
            f"{parts if seen > unseen else 'no points are missing only where clips and sources are new to it'}."
        )
    return lines


def correlations(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    """Return the rank correlation of a class's PSDS1 with each property.

    Args:
        pairs: {property: [(its value, PSDS1) of each class]}.

    Returns:
        A sentence for each property of three classes or more, unless all have one value of it, or one PSDS1.
    """
    from scipy.stats import spearmanr

    lines = []
    for what, values in pairs.items():
        if len(values) > 2 and len({x for x, _ in values}) > 1 and len({y for _, y in values}) > 1:
            result = spearmanr(*zip(*values, strict=True))
            lines.append(
                f"Rank correlation of a class's PSDS1 with {what}: {float(result.statistic):+.2f} "
                f"({len(values)} classes, p = {float(result.pvalue):.2f})."
            )
    return lines


def by_length(name: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence on the lengths of events of which a system finds the smallest and the largest share.

    The list is empty if all shares are equal or unknown. name: of the system; runs: results of its seeds.
    """
    shares = {length: found_share(runs, length) for length in LENGTHS}
    known = {length: share for length, share in shares.items() if share is not None}
    if len(set(known.values())) < 2:
        return []
    least, most = min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])
    return [
        f"By length, `{name}` finds least of the events of {least} ({100 * known[least]:.1f} %) and most of those of "
        f"{most} ({100 * known[most]:.1f} %)."
    ]


def range_of_means(
    names: Sequence[str], results: Results, key: str
) -> tuple[tuple[str, float], tuple[str, float]] | None:
    """Return the configs with the lowest and the highest mean of a number over seeds.

    Args:
        names: configs that are considered.
        results: {config: its seeds}.
        key: name of the number.

    Returns:
        (config, mean) of both; None if fewer than three configs have the number, since two make no series.
    """
    means = {name: statistics.fmean(v) for name in names if (v := values_of(results.get(name, []), key))}
    if len(means) < 3:
        return None
    low, high = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
    return (low, means[low]), (high, means[high])
