"""Match a submission with ground truth and durations, and turn it into the inputs of the metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sed.data.durations import read_durations
from sed.data.events import Row, fit, read_rows
from sed.data.scores import FrameScores
from sed.data.tables import METADATA, MOST_SECONDS
from sed.errors import UserError
from sed.evaluation.exclusion import listed, read_list
from sed.evaluation.metrics.decode import Decoded, decode, operating_points, stack
from sed.evaluation.metrics.events import EventTable, RawEvents, event_place, merge_overlaps, raw_events, table_of
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.submission import Submission, read_submission

logger = logging.getLogger("sed.score")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Ground truth and durations as read.

    Attributes:
        path: the event table.
        durations_path: the table of durations.
        events: the true events.
        durations: {clip: seconds} of all clips that may be scored.
        excluded: clips that `--exclude` left out; `events` and `durations` no longer have them.
        unnamed: clips of `durations` that the ground truth does not name, not even as clips without events. Empty if
            both are tables, as those of a corpus: its durations may be all that names a clip without events.
    """

    path: Path
    durations_path: Path
    events: RawEvents
    durations: dict[str, float]
    excluded: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()

    def without(self, path: str | Path) -> Reference:
        """Return the reference without the clips of a list (`sed.evaluation.exclusion`).

        Raises:
            UserError: the list names none of the clips, or all of them.
        """
        found = listed(read_list(path), self.durations)
        excluded = frozenset(clip for clips in found.values() for clip in clips)
        if not excluded:
            raise UserError(
                f"{path}: names none of the {len(self.durations)} clips of {self.durations_path} (another set?)"
            )
        if len(excluded) == len(self.durations):
            raise UserError(
                f"{path}: names all {len(excluded)} clips of {self.durations_path} (leave some to be scored)"
            )
        unknown = [name for name, clips in found.items() if not clips]
        if unknown:
            logger.warning("%s: %d of its %d names match no clip of this set", path, len(unknown), len(found))
        return replace(
            self,
            events=[event for event in self.events if event[1] not in excluded],
            durations={clip: seconds for clip, seconds in self.durations.items() if clip not in excluded},
            excluded=excluded,
            unnamed=self.unnamed - excluded,
        )


def read_reference(
    truth: str | Path, durations: str | Path, *, max_dropped: float = 10.0, exclude: Iterable[str | Path] = ()
) -> Reference:
    """Read ground truth and durations.

    Args:
        truth: the event table, or a folder of label files; rows that cannot be scored are counted in a warning.
        durations: the table of durations, or a folder of the recordings.
        max_dropped: largest percentage of the events that may not fit their recordings: they have no length, begin
            beyond the end, or end far beyond it (`sed.data.events.LONG`). The default is chosen by hand.
        exclude: files that may lie in the folder of label files and are not ground truth (the detections); the table of
            durations is excluded always.

    Returns:
        The reference.

    Raises:
        UserError: clips of the ground truth have no duration, there are no events, too many do not fit, or one lasts
            for years.
    """
    return reference_of(
        read_rows(truth, METADATA, {Path(file).resolve() for file in (durations, *exclude)}),
        read_durations(durations),
        path=Path(truth),
        durations_path=Path(durations),
        max_dropped=max_dropped,
    )


def reference_of(
    rows: Sequence[Row], seconds: Mapping[str, float], *, path: Path, durations_path: Path, max_dropped: float = 10.0
) -> Reference:
    """Build a reference from events and durations.

    Args:
        rows: the true events.
        seconds: {clip: duration} of every expected clip.
        path: the event table, for messages.
        durations_path: the table of durations, for messages.
        max_dropped: as in `read_reference`.

    Returns:
        The reference.

    Raises:
        UserError: as `read_reference`.
    """
    lacking = [clip for clip in dict.fromkeys(row.clip for row in rows) if clip not in seconds]
    if lacking:
        raise UserError(
            f"{durations_path}: lacks {len(lacking)} clips of {path}, such as {lacking[0]} "
            "(every clip needs a duration)"
        )
    # Offsets beyond a recording's end are only counted: the metric packages score them as written.
    kept, tally = fit(path, rows, seconds, cut=False)
    for line in tally.lines():
        logger.warning("%s", line)
    tally.check(max_dropped)
    for row in kept:
        if row.event is not None and row.event.offset > MOST_SECONDS:
            raise UserError(
                f"{row.file or path}:{row.line}: offset {row.event.offset:g} is above {MOST_SECONDS:g} (seconds are "
                "expected)"
            )
    events = raw_events(kept)
    if not events:
        raise UserError(f"{path}: holds no events, so nothing can be scored (is it whole?)")
    folders = path.is_dir() or durations_path.is_dir()
    unnamed = frozenset(seconds) - {row.clip for row in rows} if folders else frozenset()
    return Reference(path=path, durations_path=durations_path, events=events, durations=dict(seconds), unnamed=unnamed)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Clips that should be scored, and those that are.

    Attributes:
        expected: number of clips with a duration.
        scored: number of clips that are scored.
        with_output: number of scored clips that the submission names.
    """

    expected: int
    scored: int
    with_output: int


def align(
    submission: Submission,
    reference: Reference,
    *,
    labels: Sequence[str] | None,
    only_scored: bool,
    allow_missing: bool,
) -> tuple[Problem, Coverage]:
    """Match a submission with the reference.

    In files of scores, a clip with true events and without scores is an error, so that lost scores do not pass for
    silence. Clips without true events may lack scores, and count as silent. Tables of detections need not name clips
    without a detection.

    Args:
        submission: output of any system.
        reference: ground truth and durations.
        labels: the label set; None: the submission's, or else the ground truth's. If the submission states its own, it
            must be the same set, and the submission's order counts.
        only_scored: leave out clips that the submission does not name.
        allow_missing: score clips without output as if nothing was detected in them.

    Returns:
        What is scored, and how many clips the submission covers.

    Raises:
        UserError: label sets or clips of the submission and the reference do not fit together.
    """
    chosen = _label_set(submission, reference, labels)
    _check_clips(submission, reference, may_lack=only_scored or allow_missing)
    output = set(submission.clips)
    clips = sorted(clip for clip in reference.durations if clip in output or not only_scored)
    if not clips:
        raise UserError(
            f"{submission.path}: none of its clips is in {reference.durations_path} (are both of the same set?)"
        )
    _warn_of_unnamed(reference, clips)
    problem = Problem(
        clips=clips,
        labels=chosen,
        durations=np.array([reference.durations[clip] for clip in clips]),
        truth=_truth(reference, clips, chosen),
    )
    expected = len(reference.durations)
    return problem, Coverage(expected=expected, scored=len(clips), with_output=len(output & set(clips)))


def _warn_of_unnamed(reference: Reference, clips: Sequence[str]) -> None:
    """Warn of clips to be scored that nobody may have annotated: all that is detected in them counts as false."""
    unnamed = [clip for clip in clips if clip in reference.unnamed]
    if unnamed:
        logger.warning(
            "%s: names only %d of the %d recordings; the others, such as %s, count as recordings without events "
            "(if nobody annotated them: --exclude of sed.bin.score leaves them out)",
            *(reference.path, len(clips) - len(unnamed), len(clips), unnamed[0]),
        )


def _label_set(submission: Submission, reference: Reference, labels: Sequence[str] | None) -> list[str]:
    """Return the label set that is scored, in order; raise UserError if files contradict each other."""
    truth_labels = sorted({label for *_, label in reference.events})
    if submission.labels is not None and labels is not None and set(submission.labels) != set(labels):
        odd = sorted(set(submission.labels) ^ set(labels))
        raise UserError(
            f"{submission.path}: its label set is not that of --labels: {', '.join(odd)} differ "
            "(labels.txt has to be the model's)"
        )
    chosen = list(submission.labels or labels or truth_labels)
    unknown = [label for label in truth_labels if label not in chosen]
    if unknown:
        line, clip = next(event[:2] for event in reference.events if event[4] == unknown[0])
        source = "--labels" if submission.labels is None else submission.path
        where = event_place(reference.path, line)
        raise UserError(
            f"{where}: label '{unknown[0]}' of clip {clip} is not in the label set of {source} "
            f"({', '.join(chosen)}): another label set?"
        )
    return chosen


def _check_clips(submission: Submission, reference: Reference, *, may_lack: bool) -> None:
    """Raise UserError if a clip of the submission is unknown, or if scores lack clips with true events.

    may_lack: whether scores may lack such clips.
    """
    unknown = [clip for clip in submission.clips if clip not in reference.durations and clip not in reference.excluded]
    if unknown:
        raise UserError(
            f"{reference.durations_path}: lacks {len(unknown)} clips of {submission.path}, such as {unknown[0]} "
            "(every clip needs a duration)"
        )
    missing = sorted({clip for _, clip, *_ in reference.events} - set(submission.clips))
    if submission.scores is not None and missing and not may_lack:
        raise UserError(
            f"{submission.path}: no scores of {len(missing)} clips with ground truth, such as {missing[0]} "
            "(--only-scored of sed.bin.score and sed.bin.tune leaves them out, --allow-missing of sed.bin.score counts "
            "them as silent)"
        )


def _truth(reference: Reference, clips: Sequence[str], labels: Sequence[str]) -> EventTable:
    """Return the ground truth of these clips, with overlapping events of a class merged; warn of those that touch."""
    index = {clip: row for row, clip in enumerate(clips)}
    columns = {label: column for column, label in enumerate(labels)}
    truth, _ = merge_overlaps(table_of(reference.path, reference.events, index, columns))
    connected = merge_overlaps(truth, touching=True)[1]
    if connected:
        logger.warning(
            "%s: %d events begin where another of their class ends: the exact PSDS (sed_scores_eval) joins them",
            reference.path,
            connected,
        )
    if not len(truth):
        raise UserError(
            f"{reference.path}: no events in the {len(clips)} clips that are scored (are both of the same set?)"
        )
    return truth


def scores_for(problem: Problem, scores: FrameScores) -> FrameScores:
    """Return scores in the order of the problem's clips; a clip without any gets one frame of zeros of its length."""
    known = set(scores.clips)
    lacking = [row for row, clip in enumerate(problem.clips) if clip not in known]
    if not lacking:
        return scores if scores.clips == problem.clips else scores.select(problem.clips)
    count = len(lacking)
    classes = len(scores.labels)
    total = int(scores.start[-1])
    extended = FrameScores(
        clips=[*scores.clips, *(problem.clips[row] for row in lacking)],
        labels=scores.labels,
        start=np.concatenate([scores.start, total + 1 + np.arange(count)]),
        onset=np.concatenate([scores.onset, np.zeros(count)]),
        offset=np.concatenate([scores.offset, problem.durations[lacking]]),
        values=np.concatenate([scores.values, np.zeros((count, classes), scores.values.dtype)]),
        clip_values=None
        if scores.clip_values is None
        else np.concatenate([scores.clip_values, np.zeros((count, classes), scores.clip_values.dtype)]),
    )
    return extended.select(problem.clips)


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Inputs of the metrics, each None where the submission does not have it.

    Attributes:
        detections: events that F1 is computed from.
        points: events at every operating point, for psds_eval's PSDS.
        scores: post-processed scores, for the exact PSDS.
        thresholds: {label: threshold} of the detections.
        raw: scores before post-processing, for piPSDS.
    """

    detections: EventTable | None
    points: Decoded | None
    scores: FrameScores | None
    thresholds: dict[str, float] | None
    raw: FrameScores | None = None


def decide_scores(problem: Problem, scores: FrameScores, post: PostProcessing, points: int) -> Decisions:
    """Post-process frame scores and turn them into events at every operating point.

    Args:
        problem: clips and classes.
        scores: the submission's scores; they may lack clips of the problem.
        post: steps and thresholds.
        points: number of operating points.

    Returns:
        Detections, operating points, and the scores before and after post-processing.
    """
    raw = scores_for(problem, scores)
    processed = post.apply(raw)
    return Decisions(
        detections=post.threshold.decide(processed),
        points=decode(processed, operating_points(points)),
        scores=processed,
        raw=raw,
        thresholds=dict(zip(problem.labels, post.thresholds(problem.labels), strict=True)),
    )


def decide_tables(problem: Problem, submission: Submission) -> Decisions:
    """Return a submission's tables of events: detections, or one table per operating point.

    Args:
        problem: clips and classes.
        submission: detections or operating points.

    Returns:
        The decisions, without scores.

    Raises:
        UserError: a label is unknown.
    """
    tables = [_detections(problem, path, events) for path, events in submission.tables]
    if submission.kind == "detections":
        return Decisions(detections=tables[0], points=None, scores=None, thresholds=None)
    decoded = stack([problem.inside(table) for table in tables], len(problem.clips), len(problem.labels))
    return Decisions(detections=None, points=decoded, scores=None, thresholds=None)


def _detections(problem: Problem, path: Path, events: RawEvents) -> EventTable:
    """Return detections of the problem's clips; warn of those that are merged or cannot be scored."""
    index = {clip: row for row, clip in enumerate(problem.clips)}
    columns = {label: column for column, label in enumerate(problem.labels)}
    table, merged = merge_overlaps(table_of(path, events, index, columns))
    if merged:
        logger.warning("%s: %d detections overlap another of their class: merged with it", path, merged)
    outside = len(table) - len(problem.inside(table))
    if outside:
        logger.warning(
            "%s: %d detections of no length or beyond their recording: counted by event-based and onset F1, as "
            "sed_eval does, and by the metric of --scores errors; left out by all other metrics",
            path,
            outside,
        )
    return table


def detections_from(problem: Problem, submission: Submission, source: str) -> EventTable:
    """Return the detections that `--event-f1-from` names.

    Args:
        problem: clips and classes.
        submission: scores, or operating points.
        source: a table of detections, or the name of one of the operating points' files. A bare name is first looked
            for among the operating points; so is the last part of a path that does not exist.

    Returns:
        The detections of the problem's clips.

    Raises:
        UserError: there is no such file, it is no table of detections, or none of the clips that it names is the
            problem's; or the submission is itself a table of detections, which needs no other.
    """
    own = {path.name: (path, events) for path, events in submission.tables}
    asked = Path(source)
    if submission.kind == "detections":
        raise UserError(
            f"--event-f1-from {source}: {submission.path} is one table of detections, which F1 uses (leave it out)"
        )
    if asked.name in own and (source == asked.name or not asked.is_file()):
        return _detections(problem, *own[asked.name])
    if not asked.is_file():
        if own:
            raise UserError(f"--event-f1-from {source}: no such file in {submission.path} (it has {', '.join(own)})")
        raise UserError(f"--event-f1-from {source}: no such file (give a table of detections)")
    other = read_submission(asked)
    if other.kind != "detections":
        raise UserError(f"--event-f1-from {source}: no table of detections (it is taken as {other.kind})")
    others = {*other.clips} - {*problem.clips}
    if others and len(others) == len(other.clips):  # a table without rows is silence
        raise UserError(f"--event-f1-from {source}: none of its clips is scored (is it of the same set?)")
    if others:
        logger.warning(
            "%s: %d of its %d clips are not scored, such as %s: their detections do not count",
            source,
            len(others),
            len(other.clips),
            min(others),
        )
    return _detections(problem, *other.tables[0])


def decide(
    problem: Problem, submission: Submission, post: PostProcessing, *, points: int, f1_from: str | None = None
) -> Decisions:
    """Turn a submission of any kind into the inputs of the metrics.

    Args:
        problem: clips and classes.
        submission: output of any system.
        post: steps and thresholds, for scores.
        points: number of operating points, for scores.
        f1_from: the operating point or the table of detections that F1 is computed from; None: post-processed scores
            or the submitted detections.

    Returns:
        The decisions.

    Raises:
        UserError: post-processing was asked for, but the submission holds decisions instead of scores; `f1_from` as in
            `detections_from`; or a label is unknown.
    """
    if submission.scores is None and post.steps:
        raise UserError(f"{submission.path}: decisions take no post-processing, only scores do (leave it out)")
    if submission.scores is not None:
        decisions = decide_scores(problem, submission.scores, post, points)
    else:
        decisions = decide_tables(problem, submission)
    if f1_from is None:
        return decisions
    return replace(decisions, detections=detections_from(problem, submission, f1_from), thresholds=None)
