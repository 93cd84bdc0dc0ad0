"""RESULTS.md of egs/real_sounds from the small JSON files of `reduce`, and from nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from sed.evaluation.metrics.table import over_seeds, shown_in
from sed.evaluation.reports.seeds import runs, trials
from sed.evaluation.reports.seeds.limits import Results, difference, found_share, limits, table, values_of
from sed.evaluation.reports.seeds.reduce import LENGTHS
from sed.evaluation.reports.seeds.trials import footnotes, marks

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
LONG = "ast_sed_long"  # as many steps as AST-SED and a second stage together
SECOND_STAGES = ("_second", "_best")


def pairs(configs: Sequence[str]) -> list[tuple[str, str]]:
    """(a, b) of every margin that these configs allow.

    The paper's, each other config over AST-SED, and second stages over an AST-SED of as many steps.
    """
    there = set(configs)
    named = [(a, b) for a, b, *_ in MARGINS if {a, b} <= there]
    beyond = [("ast_sed", config) for config in sorted(there - {*KNOWN}) if "ast_sed" in there]
    control = [(LONG, config) for config in sorted(there) if LONG in there and config.endswith(SECOND_STAGES)]
    return named + beyond + control


def report(
    results: Results,
    margins: Sequence[Mapping[str, Any]],
    corpus: Mapping[str, Any],
    tagging: Mapping[str, Any] | None = None,
    training: Mapping[str, Mapping[str, Any]] | None = None,
    pictures: Mapping[str, str] | None = None,
    ways: Sequence[Mapping[str, Any]] = (),
    remarks: Sequence[Mapping[str, Any]] = (),
    others: Mapping[str, Results] | None = None,
) -> str:
    """The whole page.

    results: {config: its seeds}; corpus: `clips` and `sources`; tagging: evaluate_tagger's JSON; training: {config: its
    numbers on clips that it was trained on}; pictures: {figure3, gains: where they are, from the page}; ways and
    remarks: as `sed.evaluation.reports.seeds.trials` has them; others: {run: its sound results}.
    """
    pictures = pictures or {}
    lines = [
        "# Results on real sounds",
        "",
        "Generated from `results/*.json` by `python3 -m sed.bin.real_sounds_results`; do not edit.",
        "",
        *_corpus(corpus),
        *_systems(results, remarks),
        *footnotes(remarks),
        *_margins(margins, remarks),
        *_runs(trials.without(results, remarks), others or {}),
        *_classes(margins, corpus, pictures.get("gains")),
        *_lengths(results),
        *_bands(pictures.get("figure3")),
        *limits(results, margins, corpus, tagging or {}, training or {}),
        *trials.section(ways, remarks),
        *_seeds(results, remarks),
    ]
    return "\n".join(lines).rstrip() + "\n"


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


def _order(results: Results) -> list[str]:
    return [*(name for name in KNOWN if name in results), *sorted(set(results) - {*KNOWN})]


def _names(config: str, seeds: Sequence[int]) -> list[str]:
    """As remarks name a config's seeds."""
    return [trials.training(config, seed) for seed in seeds]


def _systems(results: Results, remarks: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = shown_in("seeds")
    rows = []
    for name in _order(results):
        runs = results[name]
        parameters = next((run["parameters"] for run in runs if run.get("parameters")), None)
        settings = runs[0].get("settings", {})
        rows.append(
            [
                f"`{name}`{marks(remarks, *_names(name, [run['seed'] for run in runs]))}",
                str(len(runs)),
                *(over_seeds(entry, values_of(runs, entry.key)) for entry in columns),
                f"{parameters / 1e6:.2f} M" if parameters else "–",
                str(runs[0].get("steps") or "–"),
                f"{settings.get('lr', '–')} / {settings.get('encoder_lr', '–')}",
                f"{statistics.fmean(values_of(runs, 'seconds')):.0f}" if values_of(runs, "seconds") else "–",
            ]
        )
    heads = ["config", "seeds", *(entry.column for entry in columns), "parameters", "steps", "rates", "seconds"]
    return [
        "## Systems",
        "",
        "Mean ± standard deviation over seeds; the configs are in `conf/real_sounds/` (`_csebbs`: the same models, "
        "decided by change-detection bounding boxes). Rates are those of head and encoder; seconds are of "
        "training, with other trainings on the same machine.",
        "",
        *table(heads, rows),
        *_steps(results),
    ]


def _steps(results: Results) -> list[str]:
    """That a second stage trains longer than what it is compared with, and by how much."""
    steps = {name: runs[0]["steps"] for name, runs in results.items() if runs and runs[0].get("steps")}
    second = [name for name in _order(results) if name in steps and name.endswith(SECOND_STAGES)]
    if not second or "ast_sed" not in steps:
        return []
    told = ", ".join(f"`{name}` {steps[name]} steps more" for name in second)
    control = (
        f"`{LONG}` is AST-SED with {steps[LONG]} steps, the control for them."
        if LONG in steps
        else f"`{LONG}`, AST-SED with as many steps in one, is the control for them; it is not among these results."
    )
    return [
        f"Second stages train longer than `ast_sed`: on top of the {steps['ast_sed']} steps of the model that each "
        f"starts from, {told}. {control}",
        "",
    ]


def _runs(results: Results, others: Mapping[str, Results]) -> list[str]:
    configs = {config for those in (results, *others.values()) for config in those}
    named = {(a, b): _told(a, b)[-1] for a, b in pairs(sorted(configs))}
    return runs.section({name: results[name] for name in _order(results)}, others, named)


def _told(a: str, b: str) -> tuple[str, str, str]:
    """The paper's EB-F1 and PSDS1 of a margin, and what it is called."""
    told = {(one, other): rest for one, other, *rest in MARGINS}
    f1, psds, text = told.get((a, b), ("–", "–", f"`{b}` over `{a}`"))
    return f1, psds, text


def _margins(margins: Sequence[Mapping[str, Any]], remarks: Sequence[Mapping[str, Any]]) -> list[str]:
    if not margins:
        return []
    rows = []
    for one in margins:
        f1, psds, text = _told(one["a"], one["b"])
        numbers = one["numbers"]
        rows.append(
            [
                text + marks(remarks, *_names(one["a"], one["seeds"]), *_names(one["b"], one["seeds"])),
                str(len(one["seeds"])),
                difference(numbers["event_f1_macro"], 100),
                f1,
                difference(numbers["psds1"], 1),
                psds,
                difference(numbers["psds2"], 1),
            ]
        )
    heads = ["margin", "seeds", "EB-F1, points", "paper", "PSDS1", "paper", "PSDS2"]
    return [
        "## Margins",
        "",
        "Difference of the means, and its 95 % interval over validation clips and over seeds, both paired (a sample "
        "draws the same clips and the same seeds for both systems). The paper's are on DESED with the AudioSet AST.",
        "",
        *table(heads, rows),
    ]


def _classes(margins: Sequence[Mapping[str, Any]], corpus: Mapping[str, Any], picture: str | None) -> list[str]:
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
        row += [difference(gains["event_f1"], 100), difference(gains["psds1"], 1)]
        row.append(difference(before["per_class"][label]["event_f1"], 100) if before else "–")
        rows.append(row)
    heads = ["class", "median event, s", "AST-SED − AST-GRU: EB-F1", "PSDS1", "AST-GRU − CRNN: EB-F1"]
    return [
        "## Gains by class",
        "",
        "Shortest events first. The paper: Speech +9.62, Dog +9.61; Running_water and Vacuum_cleaner gain little.",
        "",
        *([f"![EB-F1 that AST-SED gains over AST-GRU, class by class]({picture})", ""] if picture else []),
        *table(heads, rows),
    ]


def _lengths(results: Results) -> list[str]:
    names = [name for name in _order(results) if any(run.get("by_length") for run in results[name])]
    rows = []
    for name in names:
        row = [f"`{name}`"]
        for length in LENGTHS:
            share = found_share(results[name], length)
            row.append("–" if share is None else f"{100 * share:.1f}")
        rows.append(row)
    if not rows:
        return []
    return [
        "## Events found, by their length",
        "",
        "Per cent of all events that are found within the collars of EB-F1, over seeds and classes.",
        "",
        *table(["config", *LENGTHS], rows),
    ]


def _bands(picture: str | None) -> list[str]:
    if picture is None:
        return []
    return [
        "## Figure 3",
        "",
        "EB-F1 of the trained AST-GRU (first seed) when one frequency band takes the place of its mean over all, over "
        "the best band's.",
        "",
        f"![Bands in which classes are heard]({picture})",
        "",
    ]


def _seeds(results: Results, remarks: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            f"`{name}`{marks(remarks, *_names(name, [run['seed']]))}",
            str(run["seed"]),
            *(entry.plain(run[entry.key]) if run.get(entry.key) is not None else "–" for entry in shown_in("main")),
            ", ".join(run.get("post_processing") or ["none"]),
            run.get("tuned_on") or "–",
            str(run.get("device") or "–"),
        ]
        for name in _order(results)
        for run in results[name]
    ]
    numbers = [entry.column for entry in shown_in("main")]
    heads = ["config", "seed", *numbers, "post-processing", "tuned on", "trained on"]
    return ["## Every seed", "", *table(heads, rows)]
