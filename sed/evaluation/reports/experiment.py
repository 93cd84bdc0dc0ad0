"""report.html of one experiment on one set: metrics, error analysis, worst and best clips, and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sed.evaluation.alignment import Decisions
from sed.evaluation.metrics.evaluate import Evaluation, thin
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.f1 import ONSET_COLLAR
from sed.evaluation.metrics.metric import Entry
from sed.evaluation.metrics.table import BY_KEY, ENTRIES, shown_in
from sed.evaluation.metrics.task import Problem
from sed.evaluation.reports import errors, svg
from sed.evaluation.reports.certainty import caveat, interval_text
from sed.evaluation.reports.html import contents, escape, figure, page, section, table
from sed.evaluation.reports.published import PUBLISHED, of_experiment, on_their_set
from sed.evaluation.reports.timeline import Sources, clip_figure
from sed.evaluation.reports.verdict import verdict
from sed.evaluation.reports.weights import lacks_weights, warning, weights_of

SECTIONS = (  # (anchor, title)
    ("verdict", "In short"),
    ("summary", "Summary"),
    ("classes", "Classes"),
    ("roc", "PSD-ROC"),
    ("boundaries", "Boundaries"),
    ("recall", "What is found"),
    ("confusion", "What is taken for what"),
    ("clips", "Clips"),
    ("about", "How this was made"),
)
BARS = {"event_f1_macro": "event_f1", "psds1": "psds1"}  # charts by class: {key of the entry: class-wise number}
LACKING = {  # kind of the output that was scored (`Submission.kind`): why numbers may be missing
    "detections": "PSDS needs scores of frames, or tables of detections at several thresholds",
    "operating points": "F1 needs one of the tables, chosen by --event-f1-from",
}
CLIPS = 5  # number of the worst and of the best clips that are shown
CONFUSED = 40  # largest number of classes in the table of confusions


def bounds_of(result: Mapping[str, Any], entry: Entry) -> str:
    """Format the confidence interval of a number: `[55.10, 63.90]`; a dash if it has none."""
    bounds = result.get("intervals", {}).get(entry.key)
    return interval_text(bounds, entry) or "–"


def report(
    name: str,
    result: Mapping[str, Any],
    problem: Problem,
    evaluation: Evaluation,
    decisions: Decisions,
    sources: Sources,
) -> str:
    """Return the page of one experiment on one set.

    Args:
        name: name of the experiment.
        result: content of result.json.
        problem: clips, classes and ground truth.
        evaluation: the metrics' values.
        decisions: detections and scores that the metrics were computed from.
        sources: where log-mel and audio of the shown clips come from.

    Returns:
        HTML that needs no other file.
    """
    found = decisions.detections
    parts = [
        section("verdict", "In short", *(verdict(problem, found) if found is not None else [])),
        section("summary", "Summary", *_summary(name, result)),
        section("classes", "Classes", *_classes(result)),
        section("roc", "PSD-ROC", _rocs(evaluation)),
    ]
    if found is not None:
        matches = errors.match(problem, found)
        parts += [
            section("boundaries", "Boundaries", _boundaries(matches)),
            section("recall", "What is found", _recall(problem, matches)),
            section("confusion", "What is taken for what", _confusion(problem, found)),
            section("clips", "Clips", *_clips(problem, evaluation, found, decisions, sources)),
        ]
    parts.append(section("about", "How this was made", _about(result)))
    body = "".join(parts)
    head = (
        f"<header><h1>{escape(name)} on {escape(result['set'])}</h1>"
        f'<p class="dim">{result["clips"]} of {result["clips_expected"]} clips scored, '
        f"{result['clips_with_output']} with output; {len(problem.truth)} true events of "
        f"{len(problem.present)} classes in {problem.durations.sum() / 60:.1f} minutes.</p>"
        f"{contents(SECTIONS, body)}</header>"
    )
    return page(f"{name} on {result['set']}", f'{head}<main id="main">{body}</main>')


def _summary(name: str, result: Mapping[str, Any]) -> list[str]:
    main = shown_in("main")
    known = [entry for entry in main if result.get(entry.key) is not None]
    cards = [
        f'<div class="card">{escape(entry.title)}<b>{entry.text(result[entry.key])}</b>'
        f'<span class="dim">{escape(entry.meaning)}</span></div>'
        for entry in known
    ]
    parts = [f'<div class="cards">{"".join(cards)}</div>']
    if lacking := ", ".join(entry.title for entry in main if entry not in known):
        reason = LACKING.get(result["input"]["kind"], "they are undefined for this input")
        parts.append(f'<p class="warn">Without {escape(lacking)}: {reason}.</p>')
    if result["clips"] < result["clips_expected"]:
        parts.append(f'<p class="warn">Only {result["clips"]} of {result["clips_expected"]} clips are scored.</p>')
    if few := caveat([result]):
        parts.append(f'<p class="warn">{few}</p>')
    if result["classes_without_ground_truth"]:
        absent = ", ".join(result["classes_without_ground_truth"])
        parts.append(
            '<p class="warn">Without ground truth here, hence in no average over classes; numbers of all classes '
            f"together, such as micro F1, count what is detected of them as false: {escape(absent)}.</p>"
        )
    if lacks_weights(result):
        parts.append(f'<p class="warn">{escape(warning([name]))}</p>')
    comparable = on_their_set(result)
    paper = of_experiment(name) if comparable else None
    count = result.get("bootstrap", {}).get("samples") or 0
    rows = []
    for entry in ENTRIES:
        if result.get(entry.key) is None:
            continue
        values = [entry.text(result[entry.key]), *([bounds_of(result, entry)] if count else [])]
        if comparable:
            values.append(entry.text(paper.value(entry.key) if paper and "published" in entry.shown else None))
        rows.append([entry.title, *values, entry.counted_by])
    caption = f"95 % intervals: {count} bootstrap samples of clips." if count else "No intervals were computed."
    published_head = ["published *"] if comparable else []
    heads = ["number", "value", *(["95 % interval"] if count else []), *published_head, "counted by"]
    parts.append(table(caption, heads, rows))
    return [*parts, _published()] if comparable else parts


def _published() -> str:
    published_rows = [[p.system, *p.shown(), p.source] for p in PUBLISHED]
    heads = ["system", *(entry.column for entry in shown_in("published")), "source"]
    return (
        "<details><summary>* Published numbers: DESED's validation set of 1168 clips, not measured here</summary>"
        + table("By their authors", heads, published_rows)
        + "</details>"
    )


def _classes(result: Mapping[str, Any]) -> list[str]:
    of_classes = result["per_class"].values()
    columns = [  # without numbers that were not asked for, or that this input lacks
        (entry, name, heading)
        for entry in ENTRIES
        for name, heading in entry.classes
        if any(row.get(name) is not None for row in of_classes)
    ]
    rows = []
    for label, row in result["per_class"].items():
        if row["ground_truth"] or not columns:
            cells = [entry.undefined if row.get(name) is None else entry.plain(row[name]) for entry, name, _ in columns]
        else:
            cells = ["no ground truth", *["–"] * (len(columns) - 1)]
        rows.append([label, str(row["events"]), str(row.get("detections", "–")), *cells])
    heads = [heading + (" %" if entry.per_cent else "") for entry, _, heading in columns]
    caption = "Each class; PSDS columns are the area under the class's own PSD-ROC."
    return [
        table(caption, ["class", "true events", "detections", *heads], rows),
        *(_bars(result["per_class"], key, name) for key, name in BARS.items()),
    ]


def _bars(per_class: Mapping[str, Mapping[str, Any]], key: str, name: str) -> str:
    """Draw a class-wise number with its intervals; empty if no class has it.

    key: the entry's key; name: the name of its class-wise number.
    """
    entry = BY_KEY[key]
    if all(row.get(name) is None for row in per_class.values()):
        return ""
    rows = []
    for label, row in per_class.items():
        bounds = row.get("intervals", {}).get(name)
        rows.append((label, [(row.get(name), tuple(bounds) if bounds else None)]))
    # PSDS, which is no percentage, is not a mean over classes, so its bars are each class's own area.
    title = f"{entry.heading} by class" + ("" if entry.per_cent else ", of the class alone")
    return figure(svg.bars(title, rows, factor=entry.factor), f"{title}; lines: 95 % intervals.")


def _rocs(evaluation: Evaluation) -> str:
    figures = []
    for name in ("psds1", "psds2", "psds"):  # psds: with parameters from the command line (metrics/psds_metric.py)
        curves = []
        # The exact curve is drawn last, and has the first colour.
        for index, (key, word) in enumerate(((name, "thresholds"), (f"{name}_exact", "exact"))):
            if key in evaluation.psds and len(evaluation.psds[key].efpr):
                value = evaluation.psds[key]
                x, y = thin(value.efpr, value.etpr)
                points = evaluation.inputs.points
                count = f"{points.points} {word}" if word == "thresholds" and points else word
                curves.append((f"{name.upper()} {value.value:.4f}, {count}", x, y, svg.colour(1 - index)))
        if curves:
            limit = evaluation.parameters[name].e_max
            picture = svg.staircases(f"PSD-ROC of {name.upper()}", curves, limit, "effective false positives per hour")
            legend = [(stroke, text) for text, _, _, stroke in curves]
            figures.append(
                figure(picture, f"{name.upper()} is the share of the plot's area that lies under the curve.", legend)
            )
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _boundaries(matches: errors.Matches) -> str:
    figures = []
    for word, values in (("Onset", matches.onset), ("Offset", matches.offset)):
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        # for offsets, too, whose collar is a fifth of the event if that is more
        picture = svg.histogram(f"{word} errors", known, 1.0, [ONSET_COLLAR], f"{word.lower()} error, seconds")
        within = 100 * float((np.abs(known) <= ONSET_COLLAR).mean())
        text = (
            f"{word}: detected less true, {len(known)} events that a detection of their class touches. Median "
            f"{np.median(known):+z.2f} s, {within:.0f} % within {1000 * ONSET_COLLAR:g} ms; the outer bins hold what "
            "lies beyond."
        )
        figures.append(figure(picture, text))
    return f'<div class="figures">{"".join(figures)}</div>' if figures else "<p>No true event is touched.</p>"


def _recall(problem: Problem, matches: errors.Matches) -> str:
    groups = (
        ("by duration", errors.recall_by_duration(problem, matches)),
        ("by overlap with other classes", errors.recall_by_overlap(matches)),
    )
    figures = []
    for word, recalls in groups:
        rows = [(f"{r.name} ({r.events})", [(r.hit / r.events, None), (r.touched / r.events, None)]) for r in recalls]
        key = [(svg.colour(0), "found within the collars"), (svg.colour(1), "touched by a detection of its class")]
        figures.append(figure(svg.bars(f"Recall {word}", rows), f"Recall {word} (true events).", key))
    return f'<div class="figures">{"".join(figures)}</div>'


def _confusion(problem: Problem, found: EventTable) -> str:
    known = errors.confusion(problem, found)
    made = known.most(CONFUSED)
    rows = []
    most = max(1, int(made.taken.max()) if made.taken.size else 1)
    for k, label in enumerate(made.labels):
        cells = []
        for j in range(len(made.labels)):
            count = int(made.right[k] if j == k else made.taken[k, j])
            ink = "var(--c)" if j == k else "var(--b)"
            # Depth of the colour in per cent: recall on the diagonal, elsewhere relative to the largest count.
            depth = (100 * made.right[k] / max(1, made.right[k] + made.missed[k])) if j == k else 100 * count / most
            colour = f"color-mix(in srgb, {ink} {0.5 * depth:.0f}%, transparent)"
            mark = f' style="background:{colour};display:block;margin:-.2rem -.5rem;padding:.2rem .5rem"'
            cells.append(f"<span{mark if count else ''}>{count or '·'}</span>")
        rows.append([escape(label), *cells, str(int(made.nowhere[k])), str(int(made.missed[k]))])
    caption = (
        "Rows: what was detected; columns: what was there. Diagonal: true events found, as in intersection F1 (dtc and "
        "gtc 0.5); else false detections of which 30 % or more of the length lies on events of the other class."
    )
    if len(known.labels) > CONFUSED:
        caption += f" Only the {CONFUSED} of {len(known.labels)} classes with most true events are shown."
    return table(caption, ["detected as", *made.labels, "nothing there", "missed"], rows, raw=True, turned=True)


def _clips(
    problem: Problem, evaluation: Evaluation, found: EventTable, decisions: Decisions, sources: Sources
) -> list[str]:
    counts = evaluation.counts["event"]
    worst, best = errors.rank_clips(counts, CLIPS)
    key, caption = [("var(--c)", "truth"), ("var(--a)", "detected")], "Seconds."
    if decisions.scores is not None:
        key.append(("var(--b)", "score after post-processing"))
        caption += " Curves: from 0 to 1" + "; dotted: thresholds" * (decisions.thresholds is not None) + "."
    parts = []
    for title, chosen in (("Worst: most errors", worst), ("Best: highest F1", best)):
        if chosen:
            parts.append(f"<h3>{title}</h3>")
        for place, clip in enumerate(chosen):
            tp, system, truth = (int(c[clip].sum()) for c in (counts.tp, counts.system, counts.truth))
            summary = f"{tp} of {truth} events found, {system - tp} false"
            picture = clip_figure(problem, clip, found, decisions.scores, sources, decisions.thresholds)
            parts.append(
                f"<details{' open' if place == 0 else ''}><summary>{escape(problem.clips[clip])}: {summary}</summary>"
                f"{figure(picture, caption, key)}{sources.player(problem.clips[clip])}</details>"
            )
    return parts


def _about(result: Mapping[str, Any]) -> str:
    post = result["post_processing"]
    model = result.get("model") or {}
    facts = [
        ("scored by", result["command"]),
        ("git", result["git"]),
        ("trained by", model.get("command")),
        ("trained at git", model.get("git")),
        ("parameters", model.get("parameters")),
        ("weights at the start", model.get("weights") or weights_of(result)),
        ("post-processing", ", ".join(post["steps"]) or "none"),
        ("tuned on", result.get("tuned_on") or "nothing"),
        ("operating points", result.get("operating_points")),
        ("input", f"{result['input']['kind']}: {result['input']['path']}"),
        ("ground truth", result["ground_truth"]),
        ("environment", ", ".join(f"{k} {v}" for k, v in result["environment"].items())),
    ]
    items = "".join(f"<p><b>{escape(k)}</b>: <code>{escape(v)}</code></p>" for k, v in facts if v is not None)
    halves = result.get("cross_fitted", {}).get("halves", [])  # their own parameters, which replace those of `post`
    used = [(f", half {n}", half["post_processing"]) for n, half in enumerate(halves, 1)] or [("", post)]
    filters = "".join(
        table(name + half, ["class", "value"], [[label, str(value)] for label, value in values.items()])
        for half, stored in used
        for name, values in stored.items()
        if isinstance(values, dict)
    )
    return items + (f"<details><summary>Parameters of the steps</summary>{filters}</details>" if filters else "")
