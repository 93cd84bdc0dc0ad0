"""What limits a system, in the words that its measurements allow: one section of egs/real_sounds' RESULTS.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sed.evaluation.reports.seeds.reduce import LENGTHS

Results = Mapping[str, Sequence[Mapping[str, Any]]]
RATIOS = ("fte_only", "ratio_2", "ratio_5", "ast_sed")  # AST-SED at 1, 2, 5 and 10 frames a token


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one."""
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows), ""]


def values_of(runs: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """What the runs that have it say of `key`."""
    return [run[key] for run in runs if run.get(key) is not None]


def found_share(runs: Sequence[Mapping[str, Any]], length: str) -> float | None:
    """Share of the events of this length (of `LENGTHS`) that are found, over runs and classes; None without any."""
    rows = [table[length] for run in runs for table in run.get("by_length", {}).values()]
    total = sum(row[1] for row in rows)
    return sum(row[0] for row in rows) / total if total else None


def limits(
    results: Results,
    margins: Sequence[Mapping[str, Any]],
    corpus: Mapping[str, Any],
    tagging: Mapping[str, Any],
    training: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """The section: classes by their sources, and a list of what each measurement says of the best plain system."""
    best = next((name for name in ("ast_sed", "ast_gru", "crnn") if name in results), None)
    if best is None:
        return []
    rows, points = _classes(results[best], corpus.get("sources", {}).get("train", {}), tagging.get("ap", {}))
    told = [
        *([f"Tagging mAP of the pre-trained AST on the validation clips: {tagging['map']:.3f}."] if tagging else []),
        *_unseen(best, results, training),
        *_correlations(points),
        *_by_length(best, results[best]),
        *_pretraining(margins),
        *_decoder(results),
    ]
    if not rows and not told:
        return []
    heads = ["class", "training sources", "recordings", "tagging AP", f"EB-F1 % of `{best}`", "PSDS1"]
    listed = [f"- {line}" for line in told]
    return ["## What limits the rest", "", *(table(heads, rows) if rows else []), *listed, *([""] if listed else [])]


def _classes(
    runs: Sequence[Mapping[str, Any]], sources: Mapping[str, Sequence[int]], precision: Mapping[str, float]
) -> tuple[list[list[str]], list[tuple[int, float | None, float]]]:
    """Rows of the table, fewest sources first; (sources, tagging AP, PSDS1) of each class."""
    rows, points = [], []
    for label in sorted(sources, key=lambda name: sources[name][0]):
        mine = [run["per_class"][label] for run in runs if label in run["per_class"]]
        if not mine:
            continue
        f1, psds = (statistics.fmean(values_of(mine, key) or [0.0]) for key in ("event_f1", "psds1"))
        known = precision.get(label)
        points.append((sources[label][0], known, psds))
        numbers = ["–" if known is None else f"{known:.3f}", f"{100 * f1:.1f}", f"{psds:.3f}"]
        rows.append([label, *map(str, sources[label][:2]), *numbers])
    return rows, points


def _unseen(best: str, results: Results, training: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of what EB-F1 lacks on validation, how much is lacking on training clips too."""
    lines = []
    for name in dict.fromkeys([best, *training]):
        if name not in training or name not in results:
            continue
        seed = training[name]["seed"]
        run = next((run for run in results[name] if run["seed"] == seed), None)
        seen = training[name].get("event_f1_macro")
        if run is None or seen is None or run.get("event_f1_macro") is None:
            continue
        unseen = run["event_f1_macro"]
        lines.append(
            f"`{name}` (seed {seed}) has an EB-F1 of {100 * seen:.1f} % on the {training[name]['set']} clips that it "
            f"was trained on and {100 * unseen:.1f} % on validation: of the {100 * (1 - unseen):.1f} points that are "
            f"missing, {100 * (1 - seen):.1f} are missing on its training clips too and {100 * (seen - unseen):.1f} "
            "only where clips and sources are new to it."
        )
    return lines


def _correlations(points: Sequence[tuple[int, float | None, float]]) -> list[str]:
    from scipy.stats import spearmanr

    lines = []
    for what, pairs in (
        ("the number of its training sources", [(sources, psds) for sources, _, psds in points]),
        ("the pre-trained AST's tagging AP", [(ap, psds) for _, ap, psds in points if ap is not None]),
    ):
        if len(pairs) > 2 and len({x for x, _ in pairs}) > 1 and len({y for _, y in pairs}) > 1:
            result = spearmanr(*zip(*pairs, strict=True))
            lines.append(
                f"Rank correlation of a class's PSDS1 with {what}: {float(result.statistic):+.2f} "
                f"({len(pairs)} classes, p = {float(result.pvalue):.2f})."
            )
    return lines


def _by_length(best: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    shares = {length: found_share(runs, length) for length in LENGTHS}
    known = {length: share for length, share in shares.items() if share is not None}
    if len(set(known.values())) < 2:
        return []
    least, most = min(known, key=lambda name: known[name]), max(known, key=lambda name: known[name])
    return [
        f"By length, `{best}` finds least of the events of {least} ({100 * known[least]:.1f} %) and most of those of "
        f"{most} ({100 * known[most]:.1f} %)."
    ]


def _pretraining(margins: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the pre-trained encoder brings (CRNN to AST-GRU) beside what the decoder brings (AST-GRU to AST-SED)."""
    gains = {(one["a"], one["b"]): (one["numbers"].get("psds1") or {}).get("value") for one in margins}
    encoder, decoder = gains.get(("crnn", "ast_gru")), gains.get(("ast_gru", "ast_sed"))
    if encoder is None or decoder is None:
        return []
    return [
        f"PSDS1 moves by {encoder:+.4f} from the CRNN to the pre-trained AST (AST-GRU) and by {decoder:+.4f} from "
        "AST-GRU's decoder to AST-SED's."
    ]


def _decoder(results: Results) -> list[str]:
    """How far the output's resolution matters, beside what the seed does."""
    means = {name: statistics.fmean(v) for name in RATIOS if (v := values_of(results.get(name, []), "psds1"))}
    if len(means) < 3 or "ast_sed" not in means:
        return []
    seeds = values_of(results["ast_sed"], "psds1")
    spread = f"; seeds of `ast_sed` spread by {statistics.stdev(seeds):.4f}" if len(seeds) > 1 else ""
    low, high = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
    return [
        f"Over the ratios of the decoder PSDS1 goes from {means[low]:.4f} (`{low}`) to {means[high]:.4f} "
        f"(`{high}`){spread}."
    ]


def difference(value: Mapping[str, float] | None, factor: int) -> str:
    """`+1.51 [+0.26, +2.87]` of value, low and high; a dash where there is none."""
    if value is None:
        return "–"
    digits = 2 if factor == 100 else 4
    middle, low, high = (f"{factor * value[key]:+.{digits}f}" for key in ("value", "low", "high"))
    return f"{middle} [{low}, {high}]"
