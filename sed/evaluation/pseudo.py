"""Pseudo-labels: events that a trained model detects in clips without strong labels, as a strong set to train on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sed.data.directory import read_scp, write_scp
from sed.data.scores import FrameScores, Scores
from sed.data.tables import METADATA, Event, event_rows, write_durations_tsv, write_events_tsv, write_tags_tsv
from sed.errors import UserError
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.result_file import ORIGIN_SHAPE
from sed.files import write_json
from sed.input_files import Each, misfit, read_json

ORIGIN = "pseudo_labels.json"
"""file in a set's folder with the origin of its labels, written before `TABLES`"""
TABLES = ("feats.scp", "wav.scp", "durations.tsv", "events.tsv", "tags.tsv")
"""files of a set that pseudo-labels replace"""

log = logging.getLogger("sed.pseudo")

CHUNK = 500
"""number of clips whose posteriors are copied, masked and post-processed at a time, to save memory"""


def mask_by_tags(scores: Scores, tags: Mapping[str, Sequence[str]]) -> None:
    """Set the posteriors of classes that are not among a clip's tags to 0, in place; clips not in `tags` are kept."""
    for row, clip in enumerate(scores.clips):
        if clip in tags:
            absent = [column for column, label in enumerate(scores.labels) if label not in tags[clip]]
            scores.frame[row][:, absent] = 0.0
            scores.clip[row, absent] = 0.0


def pseudo_events(
    scores: Scores,
    durations: Mapping[str, float],
    post: PostProcessing,
    tags: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[Event]]:
    """Return pseudo-labels from scores, post-processed and decided as in scoring.

    Args:
        scores: posteriors; they may be mapped from a file that is only read.
        durations: {clip: seconds}.
        post: steps and thresholds.
        tags: {clip: its tags}: no other class is detected in these clips; None: no clip has tags.

    Returns:
        {clip: its events}, with times rounded to milliseconds and cut at the end of the clip.

    Raises:
        UserError: a clip has no duration.
    """
    if lacking := [clip for clip in scores.clips if clip not in durations]:
        raise UserError(f"durations.tsv: no clip '{lacking[0]}', which has posteriors (dump its set again)")
    found: dict[str, list[Event]] = {clip: [] for clip in scores.clips}
    for first in range(0, len(scores.clips), CHUNK):
        part = slice(first, first + CHUNK)
        clips = scores.clips[part]
        chosen = Scores(
            clips=clips,
            labels=scores.labels,
            frame=scores.frame[part].copy(),
            clip=scores.clip[part].copy(),
            frame_seconds=scores.frame_seconds,
        )
        mask_by_tags(chosen, tags or {})
        for clip, events in decided_events(chosen.flat(), post).items():
            for event in events:
                end = round(min(event.offset, durations[clip]), 3)
                if round(event.onset, 3) < end:
                    found[clip].append(Event(round(event.onset, 3), end, event.label))
    return {clip: sorted(events) for clip, events in found.items()}


def decided_events(scores: FrameScores, post: PostProcessing) -> dict[str, list[Event]]:
    """Return {clip: its events}, post-processed and decided as in scoring."""
    found: dict[str, list[Event]] = {clip: [] for clip in scores.clips}
    table = post.threshold.decide(post.apply(scores))
    for clip, label, onset, offset in zip(table.clip, table.label, table.onset, table.offset, strict=True):
        found[scores.clips[clip]].append(Event(float(onset), float(offset), scores.labels[label]))
    return found


class Bias(NamedTuple):
    """Mean delay of detected onsets and offsets in seconds: detected minus true time."""

    onset: float = 0.0
    offset: float = 0.0

    @classmethod
    def of(cls, tuned: Mapping[str, Any], path: object) -> Bias:
        """Return the bias in `tuned`, what sed.bin.tune wrote to `path`, 0 if it has none; UserError if broken."""
        bias = tuned.get("bias", {})
        known = not misfit(bias, Each((int, float))) and {*bias} <= {*cls._fields}
        # No detector is a minute late: such a value is damage.
        if not known or not all(abs(value) < 60 for value in bias.values()):
            raise UserError(f"{path}: bias is not seconds of onset and offset (tune again)")
        return cls(**bias)

    def corrected(self, events: Sequence[Event], duration: float) -> list[Event]:
        """Return the events with the bias subtracted from their times.

        Times at the start and end of the clip stay; events that lose their length are dropped.

        events: with times rounded to milliseconds, as those of `pseudo_events`; duration: of the clip, in seconds.
        """
        moved = []
        for onset, offset, label in events:
            start = round(max(0.0, onset - self.onset), 3) if onset > 0 else 0.0
            at_end = offset >= round(duration, 3)  # the offset is rounded, so it may be just before the end
            end = round(duration if at_end else min(duration, offset - self.offset), 3)
            if start < end:
                moved.append(Event(start, end, label))
        return sorted(moved)


def boundary_bias(found: Mapping[str, Sequence[Event]], truth: Mapping[str, Sequence[Event]]) -> Bias:
    """Measure the mean delay of detections, over pairs of a true event and a detection of its class.

    An event and a detection of one class and clip are a pair if each is the one that overlaps the other most.

    Args:
        found: {clip: detected events}.
        truth: {clip: true events} of a tuning set: neither a test set, whose scores would come out too good, nor the
            set to label, whose true events must stay unused.

    Returns:
        The bias; zeros if there is no pair.
    """
    delays: list[tuple[float, float]] = []
    for clip, events in truth.items():
        for event in events:
            same = [other for other in found.get(clip, ()) if other.label == event.label]
            best = max(same, key=lambda other: _overlap(event, other), default=None)
            if best is None or _overlap(event, best) <= 0:
                continue
            rivals = [other for other in events if other.label == event.label]
            if max(rivals, key=lambda other: _overlap(best, other)) == event:
                delays.append((best.onset - event.onset, best.offset - event.offset))
    return Bias(*np.mean(delays, axis=0).round(4).tolist()) if delays else Bias()


def _overlap(one: Event, other: Event) -> float:
    """Return the seconds that two events share; negative, a gap, if they are apart."""
    return min(one.offset, other.offset) - max(one.onset, other.onset)


def read_published(
    paths: Iterable[Path], durations: Mapping[str, float], labels: Sequence[str]
) -> dict[str, list[Event]]:
    """Read published tables of pseudo-labels for the clips of our sets.

    A row with a file name and three empty fields is a clip without events. Offsets beyond the end of the clip are cut,
    and events that begin beyond it or have no length are dropped; the log has both counts. Clips that no table names
    are not returned; one that two tables name is refused.

    Args:
        paths: event tables.
        durations: {clip: seconds} of the sets that are labelled.
        labels: the classes; other labels are refused.

    Returns:
        {clip: its events}, with times rounded to milliseconds, as data directories have them.

    Raises:
        UserError: a row of an unknown clip or label, or of another table's clip, or a broken row, with file and line;
            or no row at all.
    """
    events: dict[str, list[Event]] = {}
    cut = dropped = 0
    for path in (paths := list(paths)):
        others = {*events}
        for line, clip, event in event_rows(path, METADATA):
            if clip in others:
                raise UserError(f"{path}:{line}: clip '{clip}' is in another of the tables too (give each clip in one)")
            if clip not in durations:
                raise UserError(f"{path}:{line}: clip '{clip}' is in none of the sets (pseudo-labels of other clips?)")
            own = events.setdefault(clip, [])
            if event is None:
                continue
            if event.label not in labels:
                raise UserError(f"{path}:{line}: unknown label '{event.label}' (labels.txt has {', '.join(labels)})")
            onset, end = round(event.onset, 3), round(min(event.offset, durations[clip]), 3)
            if onset >= end:
                dropped += 1
                continue
            cut += durations[clip] < event.offset
            own.append(Event(onset, end, event.label))
    if not events:
        raise UserError(f"{', '.join(map(str, paths))}: no rows, so there is nothing to label with (is it whole?)")
    log.info(
        "%d offsets beyond the clip's end cut, %d events that begin beyond it or have no length dropped", cut, dropped
    )
    return {clip: sorted(found) for clip, found in events.items()}


def check_output(out: Path) -> None:
    """Raise UserError if a folder has a set of another kind, which pseudo-labels would overwrite."""
    if any((out / name).exists() for name in TABLES) and not (out / ORIGIN).exists():
        raise UserError(f"{out}: a set that is not of pseudo-labels (the last folder is the output: choose another)")


def write_pseudo_set(
    out: Path,
    sources: Iterable[Path],
    events: Mapping[str, Sequence[Event]],
    durations: Mapping[str, float],
    origin: Mapping[str, Any],
    tags: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a dumped strong set of the clips in `events`; its feats.scp refers to the features of the sources.

    feats.scp is written last: a set without it is incomplete.

    Args:
        out: the set's folder.
        sources: dumped sets that have the clips.
        events: {clip: its events}.
        durations: {clip: seconds}.
        origin: where the labels are from: `tables`, {path: checksum}, or `models` and `tuned_on`, which `origin_text`
            reads, and any other facts as JSON. It is copied into results of models trained on the set.
        tags: {clip: labels that are known to be in it}; for a label without an event, training takes all frames of
            the clip as unknown. None: no tags are written.

    Raises:
        UserError: two sources have a clip of one name, or none has the features or the audio of a clip in `events`.
    """
    wavs: dict[str, str] = {}
    features: dict[str, str] = {}
    seen: set[str] = set()
    folder = os.path.realpath(out)  # `..` of a folder that is reached by a link leads elsewhere
    for source in (sources := list(sources)):
        for clip, place in read_scp(source / "feats.scp").items():
            if clip in seen:
                raise UserError(f"{source}: clip '{clip}' is in another of the sets too (ids are unique)")
            seen.add(clip)
            if clip in events:
                features[clip] = os.path.relpath(os.path.realpath(source / place), folder)
        wavs |= read_scp(source / "wav.scp")
    for clip in events:
        for name, table in (("feats.scp", features), ("wav.scp", wavs)):
            if clip not in table:
                lists = ", ".join(str(source / name) for source in sources)
                raise UserError(f"{lists}: no clip '{clip}', which has labels (dump its set again)")
    out.mkdir(parents=True, exist_ok=True)
    (out / "feats.scp").unlink(missing_ok=True)
    write_json(out / ORIGIN, dict(origin))
    write_scp(out / "wav.scp", {clip: wavs[clip] for clip in features})
    write_durations_tsv(out / "durations.tsv", {clip: durations[clip] for clip in features})
    write_events_tsv(out / "events.tsv", events)
    if tags is None:
        (out / "tags.tsv").unlink(missing_ok=True)
    else:
        found = {clip: [event.label for event in own] for clip, own in events.items()}
        write_tags_tsv(out / "tags.tsv", {c: sorted({*found[c], *tags.get(c, ())}) for c in events})
    write_scp(out / "feats.scp", features)


def summary(events: Mapping[str, Sequence[Event]]) -> str:
    """Return counts in words: `1200 clips, 3400 events, 80 without any`."""
    counts = np.array([len(found) for found in events.values()])
    return f"{len(counts)} clips, {counts.sum()} events, {(counts == 0).sum()} without any"


def read_origins(dump: Path, sets: Iterable[str]) -> dict[str, Any]:
    """Return {set: origin of its labels} of the sets that have pseudo-labels; dump: folder of the dumped sets.

    Raises:
        UserError: an origin is damaged.
    """
    origins: dict[str, Any] = {}
    for name in sets:
        path = dump / name / ORIGIN
        if path.is_file():
            origins[name] = read_json(path, remedy="label the set again")
            if wrong := misfit(origins[name], ORIGIN_SHAPE):
                raise UserError(f"{path}: not an origin of pseudo-labels: {wrong} (label the set again)")
    return origins


def origin_text(origin: Mapping[str, Any]) -> str:
    """Return the origin of pseudo-labels in a few words: `tables a.tsv, b.tsv` or `3 models, tuned on x`."""
    if tables := origin.get("tables"):
        return "tables " + ", ".join(Path(path).name for path in tables)
    models, tuned = origin.get("models", []), origin.get("tuned_on")
    return f"{len(models)} model{'s' * (len(models) != 1)}" + (f", tuned on {tuned}" if tuned else "")
