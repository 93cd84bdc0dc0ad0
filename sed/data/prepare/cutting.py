"""A corpus's split (train, test ...) of long annotated recordings, cut into clips in DESED's layout.

The audio is written first, then the table of events, then a hidden note of what it was made from. The table, the note
and the audio of all clips in the table together mark a finished set (`finished`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sed.data.labels import merge_events
from sed.data.prepare.aggregation import Options, aggregate
from sed.data.prepare.clips import (
    Columns,
    csv_rows,
    cut_recording,
    read_annotations,
    warn_of_late_events,
    window_events,
    window_name,
    within,
)
from sed.data.soft_events import SoftEvent, parts_within, write_soft_tsv
from sed.data.tables import Event, audio_stem, seconds_text, tsv_rows, write_durations_tsv, write_events_tsv, write_tsv
from sed.data.windows import COLUMNS as WINDOW_COLUMNS
from sed.errors import UserError
from sed.files import write_text
from sed.input_files import read_bytes
from sed.progress import Progress

log = logging.getLogger("sed.cut")
Spans = dict[str, list[tuple[float, float]]]
"""{file name of a recording: (start, end) of its clips in seconds}"""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Settings of cutting a split."""

    listing: str
    """path, in the split's folder, of the table that names all recordings"""
    annotations: Sequence[str]
    """paths, in the split's folder, of tables of events, of which the first that exists is read. The first path is that
    of the final annotation; the other tables are raw: they have each annotator's events, with columns of annotator,
    review status and collector"""
    prefer_raw: bool = False
    """whether to read the last table that exists instead"""
    columns: Columns = field(default_factory=Columns)
    """names of the tables' columns"""
    aggregation: Options = field(default_factory=Options)
    """how the annotators' events in a raw table are aggregated"""
    seconds: float = 10.0
    """length of a clip"""
    hop: float | None = None
    """seconds from the start of a clip to the start of the next one, at most `seconds`; None: `seconds`"""
    only_annotated: bool = False
    """whether recordings without a row in a final table are left out; else they have no events. Those without a row in
    a raw table are always left out"""
    max_bad: float = 5.0
    """per cent of the recordings that may be unreadable"""
    jobs: int = 1
    """number of recordings that are cut at once"""

    @property
    def overlapping(self) -> bool:
        """True if clips overlap; their scores are then averaged to scores of the recordings (`sed.data.windows`)."""
        return self.hop is not None and self.hop < self.seconds

    def choices(self, *, final: bool) -> str:
        """Return the settings on which the output depends, as text; "" for the defaults.

        `max_bad` and `jobs` are left out, and the tables' names, since their content is compared.
        `final`: whether a final table is read, which needs no aggregation.
        """
        chosen: dict[str, Any] = {"hop": self.hop} if self.overlapping else {}
        chosen |= {"seconds": self.seconds} if self.seconds != 10.0 else {}
        chosen |= {"columns": self.columns} if self.columns != Columns() else {}
        chosen |= {"only_annotated": True} if self.only_annotated else {}
        chosen |= {} if final or self.aggregation == Options() else dataclasses.asdict(self.aggregation)
        return "".join(f" {name}={value}" for name, value in chosen.items())


def cut_split(split: Path, audio: Path, tsv: Path, cut: Cut) -> None:
    """Cut a split's recordings into clips and write their labels.

    Do nothing if that was done from the same tables with the same settings (`Cut.choices`), and all clips exist; the
    recordings are not compared.
    Soft labels are written to `soft_table(tsv)`, the labels of recordings whose clips overlap to
    `recordings_folder(tsv)`.

    Args:
        split: folder of the split, with audio/ and its tables.
        audio: folder for the clips.
        tsv: table of the clips' events, written last but for its note (`finish`).
        cut: the settings.

    Raises:
        UserError: the layout is unknown, a table is broken or names a recording that the listing lacks, no recordings
            are left, or too many are unreadable.
    """
    tables = [split / name for name in cut.annotations if (split / name).exists()]
    if not tables:
        raise UserError(f"{split}: no {' or '.join(cut.annotations)} (its layout is not the one known here)")
    table, listing, columns = tables[-1 if cut.prefer_raw else 0], split / cut.listing, cut.columns
    final = table == split / cut.annotations[0]
    read = digest([path for path in (table, listing) if path.exists()]) + cut.choices(final=final)
    if finished(tsv, read, audio):
        return
    if final:
        columns = dataclasses.replace(columns, annotator="", status="", collector="")
    labels = aggregate(read_annotations(table, columns), Options() if final else cut.aggregation)
    names = _names(listing, columns.filename)
    if unknown := sorted(set(labels) - set(names)):
        raise UserError(
            f"{table}: {len(unknown)} recordings that {cut.listing} does not name, as '{unknown[0]}' (add them there)"
        )
    if not final or cut.only_annotated:  # a recording that is not in the table may have events
        if not labels:
            raise UserError(f"{table}: annotates none of the {len(names)} recordings of {listing.name} (is it whole?)")
        log.info("%s: %d of %d recordings are annotated, the others left out", table, len(labels), len(names))
        names = [name for name in names if name in labels]
    found = cut_all(names, split / "audio", audio, seconds=cut.seconds, hop=cut.hop, max_bad=cut.max_bad, jobs=cut.jobs)
    ids = {name: audio_stem(name) for name in found}
    windows = {ids[name]: spans for name, spans in found.items()}
    events = {ids[name]: labels[name].events if name in labels else [] for name in found}
    events_of = window_events(events, windows)
    warn_of_late_events(events, windows)
    _note(tsv).unlink(missing_ok=True)  # of an earlier set, whose soft labels and recordings are replaced from here on
    _write_soft(soft_table(tsv), {ids[name]: labels[name].soft for name in found if name in labels}, windows)
    _write_recordings(recordings_folder(tsv), events, windows if cut.overlapping else {})
    finish(tsv, {f"{clip}.flac": own for clip, own in events_of.items()}, read)
    log.info("%s: %d clips of %d recordings, %d unreadable", tsv, len(events_of), len(found), len(names) - len(found))


def soft_table(tsv: Path) -> Path:
    """Return the path of the soft labels of a set's clips, beside its table: `x.soft.tsv`."""
    return tsv.with_suffix(".soft.tsv")


def recordings_folder(tsv: Path) -> Path:
    """Return the folder for the labels of recordings whose clips overlap, beside the table: `x.recordings`."""
    return tsv.with_suffix(".recordings")


def _write_soft(path: Path, soft: Mapping[str, Sequence[SoftEvent] | None], windows: Spans) -> None:
    """Write the soft labels of all clips; if all labels are hard, remove an earlier table.

    Args:
        path: the table.
        soft: {recording: its soft labels, None if they are hard}.
        windows: {recording: (start, end) of its clips in seconds}.
    """
    if all(events is None for events in soft.values()):
        path.unlink(missing_ok=True)
        return
    clips = {
        window_name(name, start, end): parts_within(soft.get(name) or [], start, end)
        for name, spans in windows.items()
        for start, end in spans
    }
    write_soft_tsv(path, clips, ".flac")


def _write_recordings(folder: Path, events: Mapping[str, Sequence[Event]], windows: Spans) -> None:
    """Write events, durations and windows of recordings; without windows, remove an earlier folder.

    Args:
        folder: folder to write.
        events: {recording: its events}.
        windows: {recording: (start, end) of its clips in seconds}; empty if clips do not overlap.
    """
    if not windows:
        shutil.rmtree(folder, ignore_errors=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    ids = {name: "_".join(name.split()) for name in windows}  # as `window_name` begins a clip's name
    ends = {name: max(end for _, end in spans) for name, spans in windows.items()}
    whole = {ids[name]: within(events[name], 0.0, ends[name]) for name in windows}
    write_events_tsv(folder / "events.tsv", merge_events(whole)[0])
    write_durations_tsv(folder / "durations.tsv", {ids[name]: end for name, end in ends.items()})
    rows = [(window_name(name, *span), ids[name], seconds_text(span[0])) for name in windows for span in windows[name]]
    write_tsv(folder / "windows.tsv", WINDOW_COLUMNS, sorted(rows))


def digest(tables: Sequence[Path]) -> str:
    """Return the SHA-256 of the content of the tables that a set is made from.

    Content is compared since the files' times do not show changes reliably.
    """
    return hashlib.sha256(b"".join(read_bytes(path) for path in tables)).hexdigest()


def finished(tsv: Path, made_of: str, audio: Path) -> bool:
    """Return whether a set's table exists, was made of `made_of`, and has all its clips; log it if so.

    Args:
        tsv: the table.
        made_of: as for `finish`.
        audio: folder of the clips, or of links to them.

    Returns:
        Whether nothing is left to do.
    """
    note = _note(tsv)
    if not (tsv.exists() and note.exists() and note.read_text().strip() == made_of):
        return False
    if not all((audio / name).exists() for name in {name for _, (name,) in tsv_rows(tsv, ["filename"])}):
        return False
    log.info("%s: there already", tsv)
    return True


def finish(tsv: Path, events: Mapping[str, Sequence[Event]], made_of: str) -> None:
    """Write a set's table, then a hidden note of what it was made from, which `finished` reads.

    Args:
        tsv: the table.
        events: {file name of a clip: its events}.
        made_of: `digest` of the tables that the set is made from, and settings on which it depends.
    """
    _note(tsv).unlink(missing_ok=True)
    write_events_tsv(tsv, events, suffix="", silent=True)
    write_text(_note(tsv), f"{made_of}\n")


def _note(tsv: Path) -> Path:
    """Return the path of the hidden note of what a set was made from."""
    return tsv.with_name(f".{tsv.name}.of")


def _names(listing: Path, column: str) -> list[str]:
    """Return the recordings that a table names, each once.

    Args:
        listing: the table.
        column: name of its column of recordings.

    Raises:
        UserError: it names none, a path leads outside the folder of the recordings, or two give one id.
    """
    names = list(dict.fromkeys(name for _, (name,) in csv_rows(listing, [column])))
    if not names:
        raise UserError(f"{listing}: names no recordings (is the corpus whole?)")
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{listing}: {name}: a place outside the split's audio (name files below it)")
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault("_".join(audio_stem(name).split()), name)) != name:  # as clips are named
            raise UserError(
                f"{listing}: {other} and {name} differ in the folder, the suffix or a blank for _ only (rename one)"
            )
    return names


def cut_all(
    names: Sequence[str],
    source: Path,
    folder: Path,
    *,
    seconds: float,
    max_bad: float,
    jobs: int,
    hop: float | None = None,
) -> Spans:
    """Cut recordings into clips; those that cannot be read are logged and left out.

    Args:
        names: file names of the recordings below `source`.
        source: their folder.
        folder: where the clips are written.
        seconds: length of a clip.
        max_bad: per cent of the recordings that may be unreadable.
        jobs: number of recordings that are cut at once.
        hop: seconds from the start of a clip to the start of the next one, at most `seconds`; None: `seconds`.

    Returns:
        {file name: (start, end) of its clips in seconds} of those that were read, in the order of `names`.

    Raises:
        UserError: more than `max_bad` % cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: Spans = {}
    bad: dict[str, str] = {}

    def cut(name: str) -> None:
        try:
            found[name] = cut_recording(source / name, folder, name=audio_stem(name), window=seconds, hop=hop)
        except UserError as error:
            bad[name] = str(error)

    with ThreadPoolExecutor(jobs) as pool, Progress(len(names), "recording", title="cut", logger=log) as progress:
        for _ in pool.map(cut, names):
            progress.advance()
    reasons = {name: bad[name] for name in names if name in bad}  # in the order of names, not of the threads
    for name, reason in reasons.items():
        log.warning("left out: %s: %s", name, reason)
    if 100 * len(bad) > max_bad * len(names):
        raise UserError(
            f"{source}: {len(bad)} of {len(names)} recordings cannot be read (more than {max_bad:g} %; --max-bad): "
            f"{next(iter(reasons.values()))}"
        )
    return {name: found[name] for name in names if name in found}
