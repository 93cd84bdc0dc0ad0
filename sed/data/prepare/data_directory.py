"""A data directory from a metadata TSV and a folder of audio: the clips that have annotation and intact audio.

The audio check decodes every file once. Its results are kept in the data directory with the file's size and time of
modification, so that a later run decodes only changed files, and those that could not be read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sed.data.audio import inspect, named_seconds
from sed.data.directory import write_scp
from sed.data.events import Row, by_clip, fit, read_rows
from sed.data.labels import merge_events
from sed.data.prepare.coverage import ARCHIVES, read_origins, write_coverage
from sed.data.recordings import recordings_of, shown
from sed.data.soft_events import SoftEvent, parts_within, soft_rows, write_soft_tsv
from sed.data.tables import (
    ClipIds,
    clip_id,
    read_durations_tsv,
    tag_rows,
    tsv_rows,
    write_durations_tsv,
    write_events_tsv,
    write_tags_tsv,
    write_tsv,
)
from sed.errors import UserError
from sed.progress import Progress

log = logging.getLogger("sed.prepare")
CHECKED = ".audio_check.tsv"
"""results of the audio check, kept for later runs. It is written before any table, and wav.scp after all of them: a
folder with this file is a data directory, without wav.scp one that no run has finished"""
KINDS = ("strong", "weak", "unlabelled")
_STALE = {
    "strong": ["tags.tsv"],
    "weak": ["events.tsv", "soft.tsv"],
    "unlabelled": ["events.tsv", "tags.tsv", "soft.tsv"],
}
"""kind of a set -> tables to remove, which a run with another kind may have left"""
DURATION_SLACK = 0.5
"""seconds by which a file's length may differ from the stated one"""
AUDIOSET_MISSING = 1.5
"""seconds by which a file may be shorter than the times in its AudioSet clip id"""
SHORTEST = 0.1
"""seconds; shorter files are bad by default"""
_CHECKED_COLUMNS = ("path", "size", "mtime_ns", "seconds", "fault")


@dataclass
class Annotation:
    """A metadata TSV: the clips it names, in order, and their annotations."""

    kind: str
    clips: dict[str, list[str]] = field(default_factory=dict)
    """clip id -> the label of each of its rows or tags"""
    rows: list[Row] = field(default_factory=list)
    """all rows of a strong table"""
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """tags of each clip of a weak table, repeated ones once"""


def read_annotation(tsv: str | Path, kind: str, labels: Sequence[str]) -> Annotation:
    """Read a metadata TSV.

    Args:
        tsv: the table: filename, onset, offset, event_label of a strong set, filename, event_labels of a weak one,
            filename of an unlabelled one.
        kind: strong, weak or unlabelled.
        labels: the classes.

    Returns:
        The annotation.

    Raises:
        UserError: a row is broken or has an unknown label, with file and line.
    """
    found = Annotation(kind)
    if kind == "strong":
        found.rows = read_rows(tsv)
        for row in found.rows:
            found.clips.setdefault(row.clip, [])
            if row.event is not None:
                _check_label(row.file or tsv, row.line, row.event.label, labels)
                found.clips[row.clip].append(row.event.label)
    elif kind == "weak":
        for line, clip, tags in tag_rows(tsv):
            if clip in found.clips:
                raise UserError(f"{tsv}:{line}: clip '{clip}' comes twice (one row per clip)")
            for label in tags:
                _check_label(tsv, line, label, labels)
            found.clips[clip] = list(tags)
            found.tags[clip] = tuple(dict.fromkeys(tags))
    else:
        ids = ClipIds()
        found.clips = {ids.of(f"{tsv}:{line}", filename): [] for line, (filename,) in tsv_rows(tsv, ["filename"])}
    if not found.clips:
        raise UserError(f"{tsv}: names no clips (is it whole?)")
    for clip in found.clips:
        if any(mark.isspace() for mark in clip):
            raise UserError(f"{tsv}: the name of clip '{clip}' holds a blank (rename it, there and on disk)")
    return found


def _check_label(tsv: str | Path, line: int, label: str, labels: Sequence[str]) -> None:
    if label not in labels:
        raise UserError(f"{tsv}:{line}: unknown label '{label}' (the labels are {', '.join(labels)})")


def find_audio(folder: str | Path) -> dict[str, Path]:
    """Return {clip id: file} of all audio below a folder, following links; raise UserError for two files of one id."""
    found: dict[str, Path] = {}
    for path in recordings_of(folder, log):
        clip = clip_id(path.name)
        if clip in found:
            raise UserError(f"{path} and {found[clip]} are both clip '{clip}' (remove one)")
        found[clip] = path
    return found


def check_audio(files: Mapping[str, Path], kept: Path, *, jobs: int) -> dict[str, tuple[float, str]]:
    """Decode files and find their durations and faults.

    Args:
        files: {clip id: file}.
        kept: table of earlier results, which is updated; unchanged files in it are not read again, except those that
            could not be read: ffmpeg, or a permission, may have been missing.
        jobs: threads.

    Returns:
        {clip id: (seconds, fault)}: (0, reason) if the file cannot be read, (its length, "silent") if it is silent,
        else (its length, "").
    """
    known = _read_checked(kept)
    stats = {clip: path.stat() for clip, path in files.items()}
    # What identifies an unchanged file in the table: its path (as a table can hold it), size and time of modification.
    keys = {clip: (shown(str(files[clip])), str(stat.st_size), str(stat.st_mtime_ns)) for clip, stat in stats.items()}
    found = {clip: known[key] for clip, key in keys.items() if key in known and known[key][0]}
    todo = [clip for clip in files if clip not in found]
    if todo:
        with ThreadPoolExecutor(jobs) as pool, Progress(len(todo), "file", title="checked", logger=log) as progress:
            results = pool.map(inspect, (files[clip] for clip in todo))
            for clip, result in zip(todo, results, strict=True):
                found[clip] = result
                if progress.advance():  # from time to time, so that a killed run loses little
                    _write_checked(kept, keys, found)
        _write_checked(kept, keys, found)
    return found


def _read_checked(path: Path) -> dict[tuple[str, str, str], tuple[float, str]]:
    if not path.exists():
        return {}
    try:
        rows = tsv_rows(path, _CHECKED_COLUMNS)
        return {(file, size, mtime): (float(seconds), fault) for _, (file, size, mtime, seconds, fault) in rows}
    except (UserError, ValueError):
        return {}  # the table is only a cache: check all files again


def _write_checked(
    path: Path, keys: Mapping[str, tuple[str, str, str]], found: Mapping[str, tuple[float, str]]
) -> None:
    rows = ((*keys[clip], repr(seconds), fault) for clip, (seconds, fault) in found.items())
    write_tsv(path, _CHECKED_COLUMNS, rows)


def faults(
    checked: Mapping[str, tuple[float, str]], stated: Mapping[str, float], *, shortest: float, longest: float
) -> dict[str, str]:
    """Return the files to leave out.

    Args:
        checked: {clip id: (seconds, fault)}, from `check_audio`.
        stated: {clip id: seconds} from a table of durations.
        shortest: shorter files are bad, in seconds.
        longest: longer files are bad, in seconds.

    Returns:
        {clip id: reason}.
    """
    bad: dict[str, str] = {}
    for clip, (seconds, fault) in checked.items():
        named = named_seconds(clip)
        if fault:
            bad[clip] = fault
        elif seconds < shortest:
            bad[clip] = f"too short: {seconds:.3f} s"
        elif seconds > longest:
            bad[clip] = f"too long: {seconds:.3f} s"
        elif clip in stated and abs(seconds - stated[clip]) > DURATION_SLACK:
            bad[clip] = f"wrong duration: {seconds:.3f} s, {stated[clip]:g} s in the metadata"
        # a video may end a little before the clip that AudioSet names
        elif clip not in stated and named and not named - AUDIOSET_MISSING <= seconds <= named + DURATION_SLACK:
            bad[clip] = f"wrong duration: {seconds:.3f} s, {named:g} s by its name"
    return bad


def _refuse_others(out: Path) -> None:
    """Raise UserError if a folder holds tables that would be overwritten, and is no data directory, finished or not."""
    if (out / CHECKED).exists() or (out / "wav.scp").exists():
        return
    if other := next((name for name in ("events.tsv", "tags.tsv", "durations.tsv") if (out / name).exists()), ""):
        raise UserError(f"{out}: holds {other}, and is not a data directory (choose another folder)")


def make_data_dir(
    tsv: Path,
    audio: Path,
    out: Path,
    *,
    kind: str,
    labels: Sequence[str],
    durations: Path | None = None,
    jobs: int = 2,
    max_bad: float = 5.0,
    max_dropped: float = 10.0,
    min_coverage: float = 0.0,
    shortest: float = SHORTEST,
    longest: float = 60.0,
    origins: Path | None = None,
    soft: Path | None = None,
) -> None:
    """Write a data directory, its bad_audio.tsv and its coverage.tsv.

    Args:
        tsv: metadata in DESED's columns, which `read_annotation` names.
        audio: folder of the recordings.
        out: the data directory.
        kind: strong, weak or unlabelled.
        labels: the classes.
        durations: table of durations; a file of another length is bad. For clips that it lacks, and with None for all
            clips, the difference of the times in an AudioSet clip id is used instead.
        jobs: threads of the audio check.
        max_bad: per cent of the files that may be bad.
        max_dropped: per cent of the events that may not fit their clips: dropped, as beyond them or without length, or
            cut by far (`sed.data.events`).
        min_coverage: per cent of the clips that must have audio.
        shortest: shorter files are bad, in seconds.
        longest: longer files are bad, in seconds.
        origins: origins.tsv of stage 0, with the origin of each recording: the corpus's archives, or a copy elsewhere.
            coverage.tsv then counts clips by origin, and an origins.tsv in `out` lists that of each clip.
        soft: soft labels of a strong set, in its columns and `share`, that of the annotators who marked the label.

    Raises:
        UserError: the input is refused. Of the set's tables, at most bad_audio.tsv has been written then.
    """
    _refuse_others(out)
    annotation = read_annotation(tsv, kind, labels)
    soft_events = None if soft is None else _read_soft(soft, labels, tsv, annotation)
    origin_of = read_origins(origins, audio.name) if origins else None  # its first column is the recordings' folder
    stated = read_durations_tsv(durations) if durations else {}
    places = {clip: path for clip, path in find_audio(audio).items() if clip in annotation.clips}
    files = {clip: path.resolve() for clip, path in places.items()}
    out.mkdir(parents=True, exist_ok=True)
    checked = check_audio(files, out / CHECKED, jobs=jobs)
    bad = faults(checked, stated, shortest=shortest, longest=longest)
    name, expected = out.name, len(annotation.clips)
    listed = ((shown(places[clip].name), bad[clip]) for clip in sorted(bad))  # a link's own name, as in the metadata
    write_tsv(out / "bad_audio.tsv", ("filename", "reason"), listed)
    _check_bad(bad, places, out / "bad_audio.tsv", max_bad)
    wavs = {clip: str(path) for clip, path in files.items() if clip not in bad}
    _check_share(len(wavs), expected, audio, tsv, min_coverage)
    seconds = {clip: checked[clip][0] for clip in wavs}
    rows, tally = fit(tsv, annotation.rows, seconds)  # without rows, if the set is not strong
    for line in tally.lines():
        log.warning("%s", line)
    tally.check(max_dropped)
    summary = [f"{len(wavs)} of {expected} clips"]
    (out / "wav.scp").unlink(missing_ok=True)  # an earlier run's: a kill from here on leaves no complete data directory
    if annotation.kind == "strong":
        events, _ = merge_events({**dict.fromkeys(wavs, ()), **by_clip(rows)})
        write_events_tsv(out / "events.tsv", events)
        summary.append(f"{sum(map(len, events.values()))} events")
        summary.append(f"{sum(not found for found in events.values())} clips without")
        summary += [f"{count} events {exception}" for exception, (count, _) in tally.found.items()]
        _write_soft(out / "soft.tsv", soft_events, seconds)
    elif annotation.kind == "weak":
        write_tags_tsv(out / "tags.tsv", {clip: annotation.tags[clip] for clip in wavs})
        summary.append(f"{sum(len(annotation.clips[clip]) for clip in wavs)} tags")
        repeated = sum(len(annotation.clips[clip]) - len(annotation.tags[clip]) for clip in wavs)
        summary += [f"{repeated} of them repeated"] * bool(repeated)
    for stale in _STALE[kind]:
        (out / stale).unlink(missing_ok=True)
    summary += [f"{len(bad)} bad files left out, see {out / 'bad_audio.tsv'}"] * bool(bad)
    write_durations_tsv(out / "durations.tsv", seconds)
    write_coverage(out / "coverage.tsv", name, annotation.clips, set(wavs), origin_of)
    _write_origins(out, wavs, origin_of)
    write_scp(out / "wav.scp", wavs)  # last: it marks a complete data directory
    log.info("%s: %s", out, ", ".join(summary))


def _read_soft(table: Path, labels: Sequence[str], tsv: Path, annotation: Annotation) -> dict[str, list[SoftEvent]]:
    """Return {clip id: its soft events}; UserError for an unknown label, or a clip that the set `tsv` does not name."""
    if annotation.kind != "strong":
        raise UserError(f"--soft {table}: only with --kind strong, not {annotation.kind} (leave it out)")
    found: dict[str, list[SoftEvent]] = {}
    for line, clip, event in soft_rows(table):
        if clip not in annotation.clips:  # otherwise the clip that is meant would be one without sounds
            raise UserError(f"{table}:{line}: clip '{clip}' is not in {tsv} (add it there, or correct its name)")
        _check_label(table, line, event.label, labels)
        found.setdefault(clip, []).append(event)
    return found


def _write_soft(path: Path, found: Mapping[str, Sequence[SoftEvent]] | None, seconds: Mapping[str, float]) -> None:
    """Write the soft labels of the clips with audio, cut to their durations; without any, remove an earlier table."""
    if found is None:
        path.unlink(missing_ok=True)
        return
    write_soft_tsv(path, {clip: parts_within(found.get(clip, ()), 0.0, end) for clip, end in seconds.items()})


def _check_bad(bad: Mapping[str, str], files: Mapping[str, Path], listed: Path, most: float) -> None:
    """Raise UserError if more than `most` per cent of the files are bad."""
    if 100 * len(bad) > most * len(files):
        share = f"{len(bad)} of {len(files)} files are bad, {files[min(bad)].name}: {bad[min(bad)]}..."
        raise UserError(f"{listed}: {share} (replace them, or allow more by --max-bad)")


def _check_share(found: int, expected: int, audio: Path, tsv: Path, least: float) -> None:
    """Raise UserError if no clip, or fewer than `least` per cent of the clips, have audio."""
    if not found:
        raise UserError(
            f"{audio}: no audio of the {expected} clips that {tsv} names (download it, or check the folder)"
        )
    if 100 * found < least * expected:
        raise UserError(f"{audio}: {found} of {expected} clips of {tsv} (download the rest, or lower --min-coverage)")


def _write_origins(out: Path, clips: Iterable[str], origins: Mapping[str, str] | None) -> None:
    """Write the origin of each clip if stage 0 recorded origins, else remove an earlier table of them."""
    if origins is not None:
        rows = ((out.name, clip, origins.get(clip, ARCHIVES)) for clip in clips)
        write_tsv(out / "origins.tsv", ("set", "clip", "origin"), rows)
    else:
        (out / "origins.tsv").unlink(missing_ok=True)
