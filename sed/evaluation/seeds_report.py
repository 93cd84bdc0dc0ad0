"""RESULTS.md of egs/real_sounds from the small JSON files of `sed.evaluation.seeds`, and from nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sed.evaluation.results import cell
from sed.evaluation.seeds import LENGTHS

# b - a, what the paper reports of it (EB-F1 in points, PSDS1), and what it is about.
MARGINS = (
    ("ast_gru", "ast_sed", "+4.40", "+0.06", "AST-SED over AST-GRU"),
    ("crnn", "ast_gru", "+4.70", "+0.053", "AST-GRU over the CRNN"),
    ("crnn", "ast_sed", "+9.10", "+0.113", "AST-SED over the CRNN"),
    ("ast_gru", "fte_only", "above 0", "above 0", "FTE only (ratio 1) over AST-GRU"),
    ("ast_gru", "lgd_only", "above 0", "above 0", "LGD only over AST-GRU"),
    ("ast_sed", "fte_only", "–", "–", "ratio 1 instead of 10"),
    ("ast_sed", "ratio_2", "–", "–", "ratio 2 instead of 10"),
    ("ast_sed", "ratio_5", "about 0", "about 0", "ratio 5 instead of 10"),
)
KNOWN = ("crnn", "ast_gru", "ast_sed", "fte_only", "lgd_only", "ratio_2", "ratio_5")
MAIN = KNOWN[:3]
Results = Mapping[str, Sequence[Mapping[str, Any]]]


def pairs(configs: Sequence[str]) -> list[tuple[str, str]]:
    """(a, b) of every margin that these configs allow: the paper's, and each other config over AST-SED."""
    there = set(configs)
    named = [(a, b) for a, b, *_ in MARGINS if {a, b} <= there]
    beyond = [("ast_sed", config) for config in sorted(there - {*KNOWN}) if "ast_sed" in there]
    return named + beyond


def report(
    results: Results, margins: Sequence[Mapping[str, Any]], corpus: Mapping[str, Any], tagging: Mapping[str, Any] | None
) -> str:
    """The whole page. results: {config: its seeds}; corpus: `clips` and `sources`; tagging: evaluate_tagger's JSON."""
    lines = [
        "# Results on real sounds",
        "",
        "Generated from `results/*.json` by `python3 -m sed.bin.real_sounds_results`; do not edit.",
        "",
        *_corpus(corpus),
        *_systems(results),
        *_margins(margins),
        *_classes(margins, corpus),
        *_lengths(results),
        *_limits(results, corpus, tagging),
        *_seeds(results),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows), ""]


def _corpus(corpus: Mapping[str, Any]) -> list[str]:
    if not corpus:
        return []
    sizes = ", ".join(f"{name} {clips}" for name, clips in corpus["clips"].items())
    return [
        f"Clips of ten seconds: {sizes}. Training clips are made of the soundbank's `train` sounds alone, validation "
        "clips of its `validation` sounds alone; the two share no source.",
        "",
        "```bash",
        "egs/real_sounds/run.sh --soundbank DIR",
        "```",
        "",
    ]


def _values(runs: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [run[key] for run in runs if run.get(key) is not None]


def _order(results: Results) -> list[str]:
    return [*(name for name in KNOWN if name in results), *sorted(set(results) - {*KNOWN})]


def _systems(results: Results) -> list[str]:
    columns = (
        ("event_f1_macro", "EB-F1 %", 100),
        ("psds1", "PSDS1", 1),
        ("psds2", "PSDS2", 1),
        ("psds1_exact", "PSDS1 exact", 1),
    )
    rows = []
    for name in _order(results):
        runs = results[name]
        parameters = next((run["parameters"] for run in runs if run.get("parameters")), None)
        settings = runs[0].get("settings", {})
        rows.append(
            [
                f"`{name}`",
                str(len(runs)),
                *(cell(_values(runs, key), factor) for key, _, factor in columns),
                f"{parameters / 1e6:.2f} M" if parameters else "–",
                str(runs[0].get("steps") or "–"),
                f"{settings.get('lr', '–')} / {settings.get('encoder_lr', '–')}",
                f"{statistics.fmean(_values(runs, 'seconds')):.0f}" if _values(runs, "seconds") else "–",
            ]
        )
    heads = ["config", "seeds", *(head for _, head, _ in columns), "parameters", "steps", "rates", "seconds"]
    return [
        "## Systems",
        "",
        "Mean ± standard deviation over seeds; the configs are in `conf/real_sounds/` (`_csebbs`: the same models, "
        "decided by change-detection bounding boxes). Rates are those of head and encoder; seconds are of "
        "training, with other trainings on the same machine.",
        "",
        *_table(heads, rows),
    ]


def _margins(margins: Sequence[Mapping[str, Any]]) -> list[str]:
    if not margins:
        return []
    told = {(a, b): (f1, psds, text) for a, b, f1, psds, text in MARGINS}
    rows = []
    for one in margins:
        f1, psds, text = told.get((one["a"], one["b"]), ("–", "–", f"`{one['b']}` over AST-SED"))
        numbers = one["numbers"]
        rows.append(
            [
                text,
                str(len(one["seeds"])),
                _difference(numbers["event_f1_macro"], 100),
                f1,
                _difference(numbers["psds1"], 1),
                psds,
                _difference(numbers["psds2"], 1),
            ]
        )
    heads = ["margin", "seeds", "EB-F1, points", "paper", "PSDS1", "paper", "PSDS2"]
    return [
        "## Margins",
        "",
        "Difference of the means, and its 95 % interval over validation clips and over seeds, both paired (a sample "
        "draws the same clips and the same seeds for both systems). The paper's are on DESED with the AudioSet AST.",
        "",
        *_table(heads, rows),
    ]


def _difference(value: Mapping[str, float] | None, factor: int) -> str:
    if value is None:
        return "–"
    digits = 2 if factor == 100 else 4
    middle, low, high = (f"{factor * value[key]:+.{digits}f}" for key in ("value", "low", "high"))
    return f"{middle} [{low}, {high}]"


def _classes(margins: Sequence[Mapping[str, Any]], corpus: Mapping[str, Any]) -> list[str]:
    chosen = {(one["a"], one["b"]): one for one in margins}
    one = chosen.get(("ast_gru", "ast_sed"))
    if one is None:
        return []
    before = chosen.get(("crnn", "ast_gru"))
    lengths = corpus.get("median_seconds", {})
    rows = []
    for label in sorted(one["per_class"], key=lambda name: lengths.get(name, 0.0)):
        gains = one["per_class"][label]
        row = [label, f"{lengths[label]:.2f}" if label in lengths else "–"]
        row += [_difference(gains["event_f1"], 100), _difference(gains["psds1"], 1)]
        row.append(_difference(before["per_class"][label]["event_f1"], 100) if before else "–")
        rows.append(row)
    heads = ["class", "median event, s", "AST-SED − AST-GRU: EB-F1", "PSDS1", "AST-GRU − CRNN: EB-F1"]
    return [
        "## Gains by class",
        "",
        "Shortest events first. The paper: Speech +9.62, Dog +9.61; Running_water and Vacuum_cleaner gain little.",
        "",
        *_table(heads, rows),
    ]


def _lengths(results: Results) -> list[str]:
    names = [name for name in _order(results) if any(run.get("by_length") for run in results[name])]
    rows = []
    for name in names:
        row = [f"`{name}`"]
        for length in LENGTHS:
            found = total = 0
            for run in results[name]:
                for table in run["by_length"].values():
                    found, total = found + table[length][0], total + table[length][1]
            row.append(f"{100 * found / total:.1f}" if total else "–")
        rows.append(row)
    if not rows:
        return []
    return [
        "## Events found, by their length",
        "",
        "Per cent of all events that are found within the collars of EB-F1, over seeds and classes.",
        "",
        *_table(["config", *LENGTHS], rows),
    ]


def _limits(results: Results, corpus: Mapping[str, Any], tagging: Mapping[str, Any] | None) -> list[str]:
    lines = ["## What limits the rest", ""]
    if tagging:
        lines += [f"Tagging mAP of the pre-trained AST on the validation clips: {tagging['map']:.3f}.", ""]
    best = next((name for name in ("ast_sed", "ast_gru", "crnn") if name in results), None)
    sources = corpus.get("sources", {}).get("train", {}) if corpus else {}
    if best is None or not sources:
        return lines if tagging else []
    precision = (tagging or {}).get("ap", {})
    rows, points = [], []
    for label in sorted(sources, key=lambda name: sources[name][0]):
        runs = [run["per_class"][label] for run in results[best] if label in run["per_class"]]
        if not runs:
            continue
        f1, psds = (statistics.fmean(_values(runs, key) or [0.0]) for key in ("event_f1", "psds1"))
        points.append((sources[label][0], psds))
        known = precision.get(label)
        rows.append(
            [
                label,
                str(sources[label][0]),
                str(sources[label][1]),
                f"{known:.3f}" if known is not None else "–",
                f"{100 * f1:.1f}",
                f"{psds:.3f}",
            ]
        )
    heads = ["class", "training sources", "recordings", "tagging AP", f"EB-F1 % of `{best}`", "PSDS1"]
    lines += _table(heads, rows)
    if len(points) > 2 and len({x for x, _ in points}) > 1 and len({y for _, y in points}) > 1:
        from scipy.stats import spearmanr

        rho = float(spearmanr(*map(list, zip(*points, strict=True))).statistic)
        lines += [f"Rank correlation of a class's PSDS1 with the number of its training sources: {rho:+.2f}.", ""]
    return lines


def _seeds(results: Results) -> list[str]:
    rows = [
        [
            f"`{name}`",
            str(run["seed"]),
            *(
                f"{factor * run[key]:.{2 if factor == 100 else 4}f}" if run.get(key) is not None else "–"
                for key, factor in (("event_f1_macro", 100), ("psds1", 1), ("psds2", 1))
            ),
            ", ".join(run.get("post_processing") or ["none"]),
            run.get("tuned_on") or "–",
            str(run.get("device") or "–"),
        ]
        for name in _order(results)
        for run in results[name]
    ]
    heads = ["config", "seed", "EB-F1 %", "PSDS1", "PSDS2", "post-processing", "tuned on", "trained on"]
    return ["## Every seed", "", *_table(heads, rows)]
