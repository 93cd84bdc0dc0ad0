"""Generate RESULTS.md from the result files of an exp folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sed.config.yaml_file import canonical
from sed.evaluation.metrics.metric import Entry
from sed.evaluation.metrics.table import BY_KEY, over_seeds, shown_in
from sed.evaluation.postprocessing.stored import comparable
from sed.evaluation.pseudo import origin_text
from sed.evaluation.reports import trained_on
from sed.evaluation.reports.certainty import caveat, interval_text
from sed.evaluation.reports.markdown import code, one_line
from sed.evaluation.reports.published import KEYS, PUBLISHED, of_experiment, on_their_set
from sed.evaluation.reports.trained_on import lacks_real_strong
from sed.evaluation.reports.weights import ensemble_of, lacks_weights, warning, weights_of
from sed.evaluation.result_file import MAY_DIFFER, experiment_name, name_of_seeds, of_any_seed, seed_of, settings


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system on one set: its result files, one for each seed."""

    name: str
    set: str
    results: list[dict[str, Any]]

    def values(self, key: str) -> list[float]:
        """Return the values of a number, of all seeds that have it."""
        return [result[key] for result in self.results if result.get(key) is not None]


def group(found: Sequence[tuple[Path, dict[str, Any]]]) -> list[Row]:
    """Merge experiments that differ only in their seed into one row; `_named` names it.

    Options are compared as `of_any_seed` returns them; if it returns none, names are. Results on another set or number
    of clips, of a student, or with other post-processing have rows of their own; so have a second result of a seed, and
    results whose seed is unknown.

    found: (path, content) of each result.json.
    """
    groups: dict[str, tuple[list[str], list[dict[str, Any]]]] = {}
    for path, result in found:
        student = ((result.get("input") or {}).get("attrs") or {}).get("which") == "student"
        name = (
            experiment_name(path)
            + (" (student)" if student else "")
            + (" (cross-fitted)" if is_cross_fitted(result) else "")
        )
        seed = seed_of(result)
        scored_on = [result[key] for key in ("set", "clips", "clips_expected")]
        key = json.dumps(
            [scored_on, of_any_seed(result) or name, student, comparable(result)], sort_keys=True, default=str
        )
        known = groups.get(key)
        taken = {seed_of(r) for r in known[1]} if known else set()
        if known is None or seed is None or {seed, None} & taken:  # a second result of a seed gets its own row
            if known is not None:
                key += str(path)
            groups[key] = ([name], [result])
        else:
            groups[key] = ([*known[0], name], [*known[1], result])
    return _named(list(groups.values()))


def _named(groups: Sequence[tuple[list[str], list[dict[str, Any]]]]) -> list[Row]:
    """Return the rows of groups of (names of the experiments, their results).

    Experiments whose names differ only in `_seed<k>` give the row `x`, not `x_seed1`, which reads as a single seed;
    other rows, and those that would share a name with another row of the set, have the shortest of the names.
    """
    shortest = [min(names, key=lambda name: (len(name), name)) for names, _ in groups]
    short = [name_of_seeds(names) or name for (names, _), name in zip(groups, shortest, strict=True)]
    used = Counter((results[0]["set"], name) for (_, results), name in zip(groups, short, strict=True))
    return [
        Row(name=name if used[results[0]["set"], name] == 1 else own, set=results[0]["set"], results=results)
        for (_, results), name, own in zip(groups, short, shortest, strict=True)
    ]


def is_cross_fitted(result: Mapping[str, Any]) -> bool:
    """Return whether each half of the scored set has post-processing that was tuned on the other half."""
    return "cross_fitted" in result


def interval(row: Row, entry: Entry) -> str:
    """Format the bootstrap interval: ` [55.10, 63.90]`; empty with several seeds or without an interval."""
    bounds = (row.results[0].get("intervals") or {}).get(entry.key) if len(row.results) == 1 else None
    return f" {interval_text(bounds, entry)}" if bounds else ""


def coverage(row: Row) -> str:
    """Return `1168 of 1168`, clips scored of clips expected.

    If a seed's scores lack some of the scored clips, the smallest number with output is added. Of lists of events this
    is not said: a clip without events is not in them.
    """
    result = row.results[0]
    text = f"{result['clips']} of {result['clips_expected']}"
    output = min(one.get("clips_with_output", one["clips"]) for one in row.results)
    lacking = result.get("input", {}).get("kind") in ("scores.h5", "score folder") and output < result["clips"]
    return f"{text}, {output} with output" if lacking else text


def parameters(row: Row) -> str:
    """Return the number of the model's parameters: `94.25 M`; a dash if it is unknown."""
    count = (row.results[0].get("model") or {}).get("parameters")
    return f"{count / 1e6:.2f} M" if isinstance(count, (int, float)) else "–"


def weights(row: Row) -> str:
    """Return the weights that training started from and the pseudo-labels that it used, of all seeds, each once.

    `not trained` is added for imported models.
    """
    imported = ["not trained"] if any((r.get("model") or {}).get("imported") for r in row.results) else []
    return ", ".join(dict.fromkeys([*map(weights_of, row.results), *imported, *pseudo_labels(row)]))


def pseudo_labels(row: Row) -> list[str]:
    """Return the origins of the pseudo-labels of all seeds."""
    origins = [origin for r in row.results for origin in ((r.get("model") or {}).get("pseudo_labels") or {}).values()]
    return [f"pseudo-labels of {origin_text(origin)}" for origin in origins]


def published(row: Row) -> str:
    """Return published numbers of the system that the experiment reproduces; a dash without any, or for other sets."""
    paper = of_experiment(row.name) if on_their_set(row.results[0]) else None
    return f"{' / '.join(paper.shown())} (DESED validation)" if paper else "–"


def difference(row: Row, reference: Mapping[str, Any]) -> str:
    """Return the options that differ from the reference's: `key value (reference's value)`, separated by commas."""
    config = settings(row.results[0])
    if not config:
        return "no configuration"
    ours, theirs = canonical(config), canonical(reference)
    differing = [key for key in theirs if key in ours and key not in MAY_DIFFER and ours[key] != theirs[key]]
    return ", ".join(f"{key} {ours[key]} ({theirs[key]})" for key in differing) or "none"


def terminal_table(rows: Sequence[Row]) -> str:
    """Return the main numbers in aligned columns, for the end of a run."""
    columns = shown_in("terminal")
    head = ["system", "set", "clips", *(entry.column for entry in columns)]
    table = [head]
    for row in rows:
        numbers = [over_seeds(entry, row.results) for entry in columns]
        table.append([row.name, row.set, coverage(row), *numbers])
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in table]
    few = caveat([result for row in rows for result in row.results])
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *([few] if few else [])])


def markdown(rows: Sequence[Row], reference: Mapping[str, Any], name_of_reference: str = "conf/ast_sed.yaml") -> str:
    """Return the content of RESULTS.md.

    Args:
        rows: the systems.
        reference: options of the config from which each system's differences are listed; empty: none are listed.
        name_of_reference: its name in the page.

    Returns:
        The page in Markdown.
    """
    lines = ["# Results", "", "Generated by `python3 -m sed.bin.results`; do not edit.", ""]
    for name in dict.fromkeys(row.set for row in rows):
        chosen = [row for row in rows if row.set == name]
        lines += [f"## {_safe(name)}", "", *_banner(chosen), *_table(chosen), ""]
        lines += [*_details(chosen, reference, name_of_reference), ""]
    lines += [
        "PSDS1 and PSDS2 are psds_eval's at 50 thresholds, or as many as the command's --operating-points; exact is",
        "the threshold-free value of sed_scores_eval; psds_eval up to 0.4 took the mean cross-trigger rate over K",
        "classes, since 0.5 it is K - 1.",
        "Several seeds: mean ± standard deviation. One seed: 95 % bootstrap interval over clips where it was computed.",
    ]
    if any(on_their_set(row.results[0]) for row in rows):
        lines += [
            "",
            "## Published",
            "",
            "On DESED's validation set (1168 clips), by their authors; not measured here.",
            "",
            f"| system | {' | '.join(BY_KEY[key].column for key in KEYS)} | source | note |",
            "|" + "---|" * (len(KEYS) + 3),
            *(f"| {p.system} | {' | '.join(map(p.text, KEYS))} | {p.source} | {p.note} |" for p in PUBLISHED),
        ]
    return "\n".join(lines) + "\n"


def _banner(rows: Sequence[Row]) -> list[str]:
    """Return the warnings above a table: missing or few clips, cross-fitting, not pretrained, no real strong clips."""
    short = sorted(
        {(r["clips"], r["clips_expected"]) for row in rows for r in row.results if r["clips"] < r["clips_expected"]}
    )
    counts = ", ".join(f"{clips} of {expected}" for clips, expected in short)
    lines = [f"Incomplete: {counts} clips are scored; these numbers do not compare with others'."] if short else []
    lines.append(caveat([result for row in rows for result in row.results]))
    if crossed := [_safe(row.name) for row in rows if any(map(is_cross_fitted, row.results))]:
        lines.append(
            f"{', '.join(crossed)}: post-processing was tuned on this set's own labels, crosswise on its halves; such "
            "numbers stand beside the others and do not compare with them."
        )
    lines.append(warning([_safe(row.name) for row in rows if any(map(lacks_weights, row.results))]))
    lines.append(trained_on.warning([_safe(row.name) for row in rows if any(map(lacks_real_strong, row.results))]))
    return [text for line in lines if line for text in (f"**{line}**", "")]


def _table(rows: Sequence[Row]) -> list[str]:
    columns = shown_in("results")
    heads = [
        "system",
        "seeds",
        "clips",
        "parameters",
        "weights",
        *(entry.column for entry in columns),
        f"published {' / '.join(entry.column for entry in shown_in('published'))}",
    ]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        numbers = [over_seeds(entry, row.results) + interval(row, entry) for entry in columns]
        lines.append(
            f"| {_safe(row.name)} | {len(row.results)} | {coverage(row)} | {parameters(row)} | "
            f"{_safe(weights(row))} | "
            f"{' | '.join(numbers)} | {published(row)} |"
        )
    return lines


def _details(rows: Sequence[Row], reference: Mapping[str, Any], name_of_reference: str) -> list[str]:
    lines = []
    for row in rows:
        result = row.results[0]
        post = (result.get("post_processing") or {}).get("steps") or ["none"]
        absent = result.get("classes_without_ground_truth") or []
        lines += [
            f"### {_safe(row.name)}",
            "",
            *([f"- Differs from {code(name_of_reference)}: {_safe(difference(row, reference))}"] if reference else []),
            f"- Post-processing: {', '.join(post)}; tuned on: {result.get('tuned_on') or 'nothing'}",
        ]
        if members := ensemble_of(result):
            lines.append(f"- Mean posteriors of: {_safe(', '.join(members))}")
        if absent:
            lines.append(f"- Without ground truth, hence in no average over classes: {_safe(', '.join(absent))}")
        for one in row.results:
            model = one.get("model") or {}
            seed = "unknown" if seed_of(one) is None else seed_of(one)
            lines.append(f"- Seed {seed}: trained at git {model.get('git', 'unknown')}, scored at {one.get('git')}")
            if model.get("command"):
                lines.append(f"  - {code(model['command'])}")
            lines.append(f"  - {code(one.get('command'))}")
        environment = ", ".join(f"{key} {value}" for key, value in (result.get("environment") or {}).items())
        lines += [f"- Environment: {environment}", ""]
    return lines


def _safe(text: str) -> str:
    """Return text in one line that opens no column of a Markdown table and no HTML element."""
    return one_line(text).replace("|", "\\|").replace("<", "&lt;")
