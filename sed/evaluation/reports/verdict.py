"""The first lines of a report: what was found of each label, in words, and advice for labels that are found badly."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sed.data.labels import more_labels
from sed.data.prepare.clips import recording_of
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.f1 import ONSET_COLLAR
from sed.evaluation.metrics.pairing import fitting, pairs, shared
from sed.evaluation.metrics.task import Problem
from sed.evaluation.reports.certainty import FEW
from sed.evaluation.reports.html import escape

LISTED = 12
"""largest number of labels with a line of their own: those with the most true events"""
FAILED = 0.5
"""a label of which no more than this share of events is found gets advice"""
COLLAR = (
    f"An event is found when the onset of a detection is within {ONSET_COLLAR:g} s of the event's, and the offset "
    f"within {ONSET_COLLAR:g} s or a fifth of the event's length, whichever is more (the collar). The manual's "
    "glossary, in docs/own-sounds.md, explains the words of this page."
)
SILENT = (
    "for labels that are hardly detected: a lower threshold (--threshold 0.3), more recordings with them, more steps "
    "of training, or a model to start from that knows such sounds (egs/own_data/run.sh --from MODEL, or train's "
    "--pretrained)"
)
TIMES = "for wrong times: labels with exact borders, more recordings, more steps of training"
CONFUSED = "for confused labels: more recordings of both"
SPURIOUS = "for detections of nothing: a higher threshold, and recordings without events"


@dataclass
class Found:
    """Numbers of one label: true events, detections, and what the detections lie on.

    Attributes:
        events: number of true events.
        detections: number of detections.
        right: number of detections that fit an event, each a different one.
        off: number of the others that share time with an event of the label.
        nothing: number of the others that share time with no event.
        taken: {other label: number of those that share time with no event of their own label, and most with one of it}.
    """

    events: int = 0
    detections: int = 0
    right: int = 0
    off: int = 0
    nothing: int = 0
    taken: Counter[str] = field(default_factory=Counter)


def count(problem: Problem, detections: EventTable) -> dict[str, Found]:
    """Return what was found of each label that has true events or detections."""
    truth, found = problem.truth, detections
    counts = {label: Found() for label in problem.labels}
    clips = np.arange(len(problem.clips) + 1)
    true_at, found_at = np.searchsorted(truth.clip, clips), np.searchsorted(found.clip, clips)
    for clip in range(len(problem.clips)):
        true_rows, found_rows = slice(*true_at[clip : clip + 2]), slice(*found_at[clip : clip + 2])
        true, made = (
            np.stack([table.onset[rows], table.offset[rows]], 1)
            for table, rows in ((truth, true_rows), (found, found_rows))
        )
        true_label, made_label = truth.label[true_rows], found.label[found_rows]
        same = true_label[:, None] == made_label[None]
        right = set(pairs(fitting(true, made) & same).values())
        time = shared(true, made)
        for label in true_label:
            counts[problem.labels[label]].events += 1
        for row, label in enumerate(made_label):
            one = counts[problem.labels[label]]
            one.detections += 1
            touched = time[:, row] > 0
            if row in right:
                one.right += 1
            elif (touched & same[:, row]).any():
                one.off += 1
            elif touched.any():
                one.taken[problem.labels[true_label[time[:, row].argmax()]]] += 1
            else:
                one.nothing += 1
    return {label: one for label, one in counts.items() if one.events or one.detections}


def verdict(problem: Problem, detections: EventTable) -> list[str]:
    """Return the verdict as HTML."""
    counts = sorted(count(problem, detections).items(), key=lambda item: -item[1].events)
    detected = [(label, one) for label, one in counts if one.detections]
    silent = [f"{label} ({_events(one.events)})" for label, one in counts if not one.detections]
    lines = [_line(label, one) for label, one in detected[:LISTED]]
    if len(detected) > LISTED:
        lines.append(f"{more_labels(len(detected) - LISTED)}: see Classes")
    if silent:
        more = f" and {more_labels(len(silent) - LISTED)}" * (len(silent) > LISTED)
        lines.append(f"nothing detected: {', '.join(silent[:LISTED])}{more}")
    parts = ["<ul>", *(f"<li>{escape(line)}</li>" for line in lines), "</ul>"]
    if rough := _rough(problem.clips):
        parts.append(f'<p class="warn">{rough}</p>')
    if advice := _advice([one for _, one in counts]):
        parts.append(f"<p>What usually helps: {_coded('; '.join(advice))}.</p>")
    return [*parts, f'<p class="dim">{escape(COLLAR)}</p>']


def _line(label: str, one: Found) -> str:
    line = f"{label}: {one.right} of {_events(one.events)} found, {one.right} of {one.detections} detections right"
    wrong = [f"{number} lay on {other}" for other, number in one.taken.most_common()]
    wrong += [f"{one.off} had wrong times (or were doubled)"] * bool(one.off)
    wrong += [f"{one.nothing} lay on nothing"] * bool(one.nothing)
    return f"{line}; the others: {', '.join(wrong)}" if wrong else line


def _events(number: int) -> str:
    return f"{number} event{'s' * (number != 1)}"


def _advice(counts: Sequence[Found]) -> list[str]:
    """Return what helps, for the errors of labels of which at most FAILED is found."""
    failed = [one for one in counts if one.events and one.right <= FAILED * one.events]
    advice = {
        SILENT: any(one.detections < FAILED * one.events for one in failed),
        TIMES: any(one.off for one in failed),
        CONFUSED: any(one.taken for one in failed),
        SPURIOUS: any(one.nothing for one in failed),
    }
    return [text for text, applies in advice.items() if applies]


def _coded(text: str) -> str:
    """Return text as HTML, with options as code that is not broken at a line's end."""
    code = r'<code style="white-space: nowrap">\1</code>'
    return re.sub(r"(--[a-z]+(?: [A-Z]+| [0-9.]+)?)", code, escape(text))


def _rough(clips: Sequence[str]) -> str:
    """Return the warning that there are few clips, with the number of recordings that they are cut from; else ''."""
    if len(clips) >= FEW:
        return ""
    number = len({found[0] if (found := recording_of(clip)) else clip for clip in clips})
    recordings = f"{number} recording{'s' * (number != 1)}"
    cut = f" ({len(clips)} clips)" if len(clips) != number else ""
    return f"Only {recordings}{cut}: these numbers are rough."
