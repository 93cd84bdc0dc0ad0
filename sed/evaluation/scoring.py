"""Score a system's output in one call, from files or from objects in memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.data.durations import read_durations
from sed.data.events import Row, read_rows
from sed.data.tables import METADATA, MOST_SECONDS, Event
from sed.errors import UserError
from sed.evaluation.alignment import Decisions, align, decide, reference_of
from sed.evaluation.confidence.bootstrap import add_intervals, resample
from sed.evaluation.metrics.evaluate import Evaluation, evaluate, summary
from sed.evaluation.metrics.events import raw_events
from sed.evaluation.metrics.metric import Metric
from sed.evaluation.metrics.table import chosen
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.options import options_of, resolve
from sed.evaluation.submission import Submission, read_submission
from sed.parallel import default_jobs

POINTS = 50
"""number of operating points of psds_eval's PSDS, as in the DCASE baseline (D: egs/desed/README.md)"""


def score_events(
    predicted: str | Path | Mapping[str, Sequence[Event]],
    truth: str | Path | Mapping[str, Sequence[Event]],
    durations: str | Path | Mapping[str, float],
    *,
    post_processing: str | None = None,
    labels: Sequence[str] | None = None,
    bootstrap: int = 0,
    scores: Sequence[str] = (),
) -> dict[str, Any]:
    """Score detected events or scores against the truth.

    Args:
        predicted: a file or folder that `sed.bin.score` takes, or {clip: detected events}.
        truth: an event table, a folder of label files, or {clip: true events}.
        durations: a table, a folder of the recordings, or {clip: seconds}: the clips that are scored.
        post_processing: steps for scores as in `--post-processing`; None: `paper` for a scores.h5 of this project, else
            `none`.
        labels: the label set; None: that of the scores, or else of the truth.
        bootstrap: number of bootstrap samples for 95 % intervals; 0 for none.
        scores: names of metrics that are computed on request, as in `--scores`.

    Returns:
        The metrics, as in result.json.

    Raises:
        UserError: an input or an option is broken, or labels or clips of the inputs do not fit together.
    """
    if bootstrap < 0:
        raise UserError(f"bootstrap {bootstrap}: out of range (give 0, for no intervals, or more)")
    labels = None if labels is None else list(labels)  # of an array, an index or a generator, too
    if labels is not None and (twice := [label for label, count in Counter(labels).items() if count > 1]):
        raise UserError(f"labels: '{twice[0]}' comes twice (keep one)")
    submission = _submission(predicted, [file for file in (truth, durations) if isinstance(file, str | Path)])
    reference = reference_of(
        _rows(truth, "the truth", [file for file in (predicted, durations) if isinstance(file, str | Path)]),
        _seconds(durations),
        path=_path(truth, "the truth"),
        durations_path=_path(durations, "the durations"),
    )
    problem, _ = align(submission, reference, labels=labels, only_scored=False, allow_missing=False)
    post = resolve(options_of(post_processing=post_processing), problem.labels, ours=submission.kind == "scores.h5")
    decisions = decide(problem, submission, post, points=POINTS, f1_from=None)
    evaluation = measure(problem, decisions, metrics=chosen(scores))
    result = {"clips": len(problem.clips), **summary(problem, evaluation)}
    if bootstrap:
        names, values = resample(problem, evaluation, samples=bootstrap, jobs=default_jobs())
        add_intervals(result, names, values)
    return result


def measure(problem: Problem, decisions: Decisions, *, metrics: Sequence[Metric], jobs: int = 1) -> Evaluation:
    """Compute the metrics of decisions.

    Args:
        problem: clips, classes and ground truth.
        decisions: detections, operating points and scores of a submission.
        metrics: the metrics, with their options.
        jobs: number of processes.

    Returns:
        The values, overall and by class.
    """
    return evaluate(
        problem,
        detections=decisions.detections,
        points=decisions.points,
        scores=decisions.scores,
        raw=decisions.raw,
        metrics=metrics,
        jobs=jobs,
    )


def _submission(predicted: str | Path | Mapping[str, Sequence[Event]], exclude: Sequence[str | Path]) -> Submission:
    """Return the predicted events or scores; exclude: files that are not read if they lie in the predicted folder."""
    if not isinstance(predicted, Mapping):
        return read_submission(predicted, exclude)
    path = _path(predicted, "the predicted events")
    rows = _rows(predicted, "the predicted events")
    return Submission(kind="detections", path=path, clips=list(predicted), tables=[(path, raw_events(rows))])


def _rows(
    events: str | Path | Mapping[str, Sequence[Event]], name: str, exclude: Sequence[str | Path] = ()
) -> list[Row]:
    """Return events as rows; those of a mapping are numbered from 1.

    Args:
        events: the events.
        name: name of a mapping, for messages.
        exclude: files that are not read if they lie in a folder of label files.

    Returns:
        The rows.

    Raises:
        UserError: an event is not made up of two times and a label, its times are below 0 or not finite, its offset
            is before its onset, or its label is empty.
    """
    if not isinstance(events, Mapping):
        return read_rows(events, METADATA, {Path(file).resolve() for file in exclude})
    named: list[tuple[str, Event | None]] = []
    for clip, of_clip in events.items():
        named += [(clip, _checked(event, f"{name}: clip '{clip}'")) for event in of_clip] or [(clip, None)]
    return [Row(line, clip, event) for line, (clip, event) in enumerate(named, 1)]


def _checked(event: Sequence[Any], where: str) -> Event:
    """Return one event of a mapping; raise UserError, which begins with `where`, if a table could not hold it."""
    try:
        onset, offset, label = event[:3]  # events from `sed.load(...).detect` also have a score
        ordered = 0 <= onset <= offset < math.inf
        if not isinstance(label, str):
            raise TypeError
    except (TypeError, ValueError, KeyError):
        expected = "onset and offset in seconds and the label are expected"
        raise UserError(f"{where}: {event!r} is no event ({expected})") from None
    if not ordered:
        raise UserError(
            f"{where}: an event from {onset} to {offset} s (times are finite numbers from 0, the onset first)"
        )
    if not label:
        raise UserError(f"{where}: an event without a label (give each one)")
    return Event(onset, offset, label)


def _seconds(durations: str | Path | Mapping[str, float]) -> Mapping[str, float]:
    """Return {clip: seconds}; raise UserError if a duration is not a number above 0 and up to `MOST_SECONDS`."""
    if not isinstance(durations, Mapping):
        return read_durations(durations)
    for clip, seconds in durations.items():
        if isinstance(seconds, str) or not 0 < seconds <= MOST_SECONDS:
            raise UserError(
                f"the durations: clip '{clip}': {seconds} s (durations are numbers above 0, up to {MOST_SECONDS:g})"
            )
    return durations


def _path(source: object, name: str) -> Path:
    """Return the path of an input for messages; `<name>` for one in memory."""
    return Path(source) if isinstance(source, str | Path) else Path(f"<{name}>")
