"""compare.html: metrics, paired differences, class-wise scores and curves of several systems on the same clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sed.evaluation.confidence.bootstrap import interval
from sed.evaluation.confidence.paired import Difference, System, class_differences, differences, paired
from sed.evaluation.metrics.psds import PSDS1, PSDS2
from sed.evaluation.metrics.table import BY_KEY, ENTRIES, shown_in
from sed.evaluation.reports import svg
from sed.evaluation.reports.certainty import caveat, interval_text
from sed.evaluation.reports.html import contents, escape, figure, page, section, table
from sed.evaluation.reports.published import of_experiment, on_their_set

SECTIONS = (
    ("summary", "Summary"),
    ("differences", "Differences"),
    ("classes", "Classes"),
    ("roc", "PSD-ROC"),
    ("about", "How this was made"),
)


def compare_report(systems: Sequence[System]) -> str:
    """Return the page (HTML); all other systems are compared with the first."""
    first = systems[0]
    result = first.results[0]
    body = "".join(
        [
            section("summary", "Summary", _summary(systems)),
            section("differences", "Differences", *(_differences(first, other) for other in systems[1:])),
            section("classes", "Classes", *_classes(systems)),
            section("roc", "PSD-ROC", _rocs(systems)),
            section("about", "How this was made", *(_about(system) for system in systems)),
        ]
    )
    names = ", ".join(system.name for system in systems)
    head = (
        f"<header><h1>{escape(names)} on {escape(result['set'])}</h1>"
        f'<p class="dim">The same {result["clips"]} clips (of {result["clips_expected"]}), the same ground truth and '
        f"the same bootstrap samples for all.</p>{contents(SECTIONS, body)}</header>"
    )
    return page(f"{names} on {result['set']}", f'{head}<main id="main">{body}</main>')


def _mean(system: System, key: str) -> float | None:
    """Return the mean of a number over the seeds; None if a seed lacks it."""
    return _average([result.get(key) for result in system.results])


def _average(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if any value is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _bounds(system: System, name: str) -> tuple[float, float] | None:
    """Return the interval of the mean over seeds; None if a seed lacks the number."""
    if any(name not in samples.names for samples in system.samples):
        return None
    rows = [samples.of(name)[1:] for samples in system.samples]  # without the value on the set itself
    return interval(np.mean(rows, axis=0))


def _summary(systems: Sequence[System]) -> str:
    rows = []
    for entry in ENTRIES:
        values = [_mean(system, entry.key) for system in systems]
        if all(value is None for value in values):
            continue
        cells = []
        for system, value in zip(systems, values, strict=True):
            bounds = _bounds(system, entry.key)
            cells.append("–" if value is None else f"{entry.plain(value)} {interval_text(bounds, entry)}".rstrip())
        rows.append([entry.row, *cells])
    for entry in shown_in("published"):
        published = [of_experiment(s.name) if on_their_set(s.results[0]) else None for s in systems]
        if any(published):
            cells = [paper.text(entry.key) if paper else "–" for paper in published]
            rows.append([f"published {entry.column} (DESED validation)", *cells])
    heads = [f"{s.name} ({len(s.results)} seeds)" if len(s.results) > 1 else s.name for s in systems]
    few = caveat([result for system in systems for result in system.results])
    note = f'<p class="warn">{few}</p>' if few else ""
    return note + table("Values with 95 % intervals over clips; seeds as their mean.", ["number", *heads], rows)


def _differences(a: System, b: System) -> str:
    found = differences(a, b)
    rows = []
    for d in found:
        entry = BY_KEY[d.number]
        bounds = f"[{entry.plain(d.low, '+')}, {entry.plain(d.high, '+')}]"
        # Samples in which both are equal count for neither.
        better = d if entry.higher_is_better else paired(b, a, d.number)
        ahead = f"{100 * better.above:.0f} %" if better else "–"
        rows.append([entry.row, entry.plain(d.value, "+"), bounds, ahead, "yes" if d.clear else "no: 0 is inside"])
    name = f"{b.name} less {a.name}"
    seeds = len(a.results) > 1 or len(b.results) > 1
    caption = f"{name}: paired over clips{' and seeds' if seeds else ''}, 95 % intervals."
    heads = ["number", "difference", "95 % interval", f"samples with {b.name} ahead", "clear"]
    pictures = []
    for per_cent, unit in ((True, "percentage points"), (False, "fractions")):
        bars = [(e.title, d.value, d.low, d.high) for d in found if (e := BY_KEY[d.number]).per_cent == per_cent]
        if bars:
            lower = {entry.title for entry in ENTRIES if not entry.higher_is_better}
            factor = 100 if per_cent else 1
            picture = svg.differences(f"{name}, {unit}", bars, factor=factor, lower_is_better=lower)
            pictures.append(figure(picture, f"{caption} In {unit}."))
    return f"<h3>{escape(name)}</h3>{table(caption, heads, rows)}{''.join(pictures)}"


def _classes(systems: Sequence[System]) -> list[str]:
    lines = []
    for label in systems[0].results[0]["per_class"]:
        series = []
        for system in systems:
            mean = _average([result["per_class"][label].get("event_f1") for result in system.results])
            series.append((mean, _bounds(system, f"{label}\tevent_f1")))
        lines.append((label, series))
    # as for tables of detections at several thresholds, of which F1 needs one (--event-f1-from)
    if all(mean is None for _, series in lines for mean, _ in series):
        return []
    key = [(svg.colour(index), system.name) for index, system in enumerate(systems)]
    bars = svg.bars("EB-F1 by class", lines, factor=100, missing="–")  # no ground truth, or no decisions
    parts = [figure(bars, "EB-F1 by class, per cent, 95 % intervals.", key)]
    for other in systems[1:]:
        found: dict[str, Difference] = class_differences(systems[0], other, "event_f1")
        rows = [(label, d.value, d.low, d.high) for label, d in found.items()]
        if rows:
            name = f"EB-F1 by class: {other.name} less {systems[0].name}"
            parts.append(figure(svg.differences(name, rows, factor=100), f"{name}, percentage points, paired."))
    return parts


def _rocs(systems: Sequence[System]) -> str:
    figures = []
    for key, parameters in (("psds1", PSDS1), ("psds2", PSDS2)):
        curves = []
        for index, system in enumerate(systems):
            roc = system.results[0].get("psd_roc", {})
            name = f"{key}_exact" if f"{key}_exact" in roc else key
            if name in roc and roc[name][0]:
                curves.append((f"{system.name}, {BY_KEY[name].title}", *roc[name], svg.colour(index)))
        if curves:
            title = f"PSD-ROC of {key.upper()}"
            picture = svg.staircases(title, curves, parameters.e_max, "effective false positives per hour")
            figures.append(figure(picture, f"{key.upper()}, first seed.", [(c[3], c[0]) for c in curves]))
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _about(system: System) -> str:
    lines = []
    for path, result in zip(system.paths, system.results, strict=True):
        model = result.get("model") or {}
        facts = [("result", path), ("scored by", result.get("command")), ("git", result.get("git"))]
        facts += [("trained by", model.get("command")), ("trained at git", model.get("git"))]
        facts += [("post-processing", ", ".join((result.get("post_processing") or {}).get("steps") or ["none"]))]
        facts += [("tuned on", result.get("tuned_on") or "nothing")]
        lines += [f"<p><b>{escape(k)}</b>: <code>{escape(v)}</code></p>" for k, v in facts if v is not None]
    return f"<h3>{escape(system.name)}</h3>{''.join(lines)}"
