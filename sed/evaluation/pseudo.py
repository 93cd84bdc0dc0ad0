"""Pseudo-labels: the events that a trained model hears in clips without any, as a strong set to train on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sed.data.directory import read_scp, write_scp
from sed.data.scores import Scores
from sed.data.tables import Event, write_durations_tsv, write_events_tsv
from sed.errors import UserError
from sed.evaluation.postprocessing.pipeline import PostProcessing

CHUNK = 500
"""clips that are post-processed at once: the filters take several times the memory of their scores"""


def mask_by_tags(scores: Scores, tags: Mapping[str, Sequence[str]]) -> None:
    """Set in place to 0 what a clip's tags rule out; clips without tags are left alone."""
    for row, clip in enumerate(scores.clips):
        if clip in tags:
            absent = [column for column, label in enumerate(scores.labels) if label not in tags[clip]]
            scores.frame[row][:, absent] = 0.0
            scores.clip[row, absent] = 0.0


def pseudo_events(scores: Scores, durations: Mapping[str, float], post: PostProcessing) -> dict[str, list[Event]]:
    """{clip: its events}, post-processed and decided as in scoring, none beyond the clip's end."""
    found: dict[str, list[Event]] = {clip: [] for clip in scores.clips}
    for first in range(0, len(scores.clips), CHUNK):
        part = slice(first, first + CHUNK)
        clips = scores.clips[part]
        chosen = Scores(
            clips=clips,
            labels=scores.labels,
            frame=scores.frame[part],
            clip=scores.clip[part],
            frame_seconds=scores.frame_seconds,
        )
        table = post.threshold.decide(post.apply(chosen.flat()))
        for clip, label, onset, offset in zip(table.clip, table.label, table.onset, table.offset, strict=True):
            end = round(min(float(offset), durations[clips[clip]]), 3)
            if round(float(onset), 3) < end:
                found[clips[clip]].append(Event(round(float(onset), 3), end, scores.labels[label]))
    return {clip: sorted(events) for clip, events in found.items()}


def write_pseudo_set(
    out: Path, sources: Iterable[Path], events: Mapping[str, Sequence[Event]], durations: Mapping[str, float]
) -> None:
    """A dumped strong set of the sources' clips: features by reference, not copied; feats.scp last."""
    wavs: dict[str, str] = {}
    features: dict[str, str] = {}
    for source in sources:
        for clip, place in read_scp(source / "feats.scp").items():
            if clip in features:
                raise UserError(f"{source}: clip '{clip}' is in another of the sets too (ids are unique)")
            features[clip] = os.path.relpath(source / place, out)
        wavs |= read_scp(source / "wav.scp")
    out.mkdir(parents=True, exist_ok=True)
    (out / "feats.scp").unlink(missing_ok=True)
    write_scp(out / "wav.scp", {clip: wavs[clip] for clip in features})
    write_durations_tsv(out / "durations.tsv", {clip: durations[clip] for clip in features})
    write_events_tsv(out / "events.tsv", events)
    write_scp(out / "feats.scp", features)


def summary(events: Mapping[str, Sequence[Event]]) -> str:
    """`1200 clips, 3400 events, 80 without any`."""
    counts = np.array([len(found) for found in events.values()])
    return f"{len(counts)} clips, {counts.sum()} events, {(counts == 0).sum()} without any"
