"""A corpus's split (train, test ...) of long annotated recordings, cut into clips in DESED's layout.

The table of events is written after the audio, so that its existence marks a finished set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sed.data.prepare.clips import Columns, csv_rows, cut_recording, read_events, window_events
from sed.data.tables import Event, audio_stem, write_events_tsv
from sed.errors import UserError
from sed.files import write_text
from sed.input_files import read_bytes
from sed.progress import Progress

log = logging.getLogger("sed.cut")
Spans = dict[str, list[tuple[float, float]]]
"""{file name of a recording: (start, end) of its clips in seconds}"""


def cut_split(
    split: Path,
    audio: Path,
    tsv: Path,
    *,
    clips: str,
    annotations: Sequence[str],
    columns: Columns,
    seconds: float,
    max_bad: float,
    jobs: int,
) -> None:
    """Cut a split's recordings into clips and write their events; do nothing if that is done already.

    Args:
        split: folder of the split, with audio/ and its tables.
        audio: folder for the clips.
        tsv: table of the clips' events, written last.
        clips: file name of the table of all recordings.
        annotations: file names of tables of events, of which the first that exists is read. The first in the list is
            the final annotation, without columns of annotator and review status; the others have them.
        columns: names of the columns.
        seconds: length of a clip.
        max_bad: per cent of the recordings that may be unreadable.
        jobs: recordings at once.

    Raises:
        UserError: the layout is unknown, or too many recordings are unreadable.
    """
    tables = [split / name for name in annotations if (split / name).exists()]
    if not tables:
        raise UserError(f"{split}: no {' or '.join(annotations)} (its layout is not the one known here)")
    table, listing = tables[0], split / clips
    read = digest([path for path in (table, listing) if path.exists()])
    if finished(tsv, read):
        return
    final = table.name == annotations[0]
    if final:
        columns = dataclasses.replace(columns, annotator="", status="")
    events = read_events(table, columns)
    names = _names(listing, columns.filename)
    if unknown := sorted(set(events) - set(names)):
        raise UserError(
            f"{table}: {len(unknown)} recordings that {clips} does not name, as '{unknown[0]}' (add them there)"
        )
    if not final:  # a recording that is not in the table was not annotated yet; it may have events
        log.info("%s: %d of %d recordings are annotated, the others left out", table, len(events), len(names))
        names = [name for name in names if name in events]
    found = cut_all(names, split / "audio", audio, seconds=seconds, max_bad=max_bad, jobs=jobs)
    ids = {name: audio_stem(name) for name in found}
    windows = {ids[name]: spans for name, spans in found.items()}
    events_of = window_events({ids[name]: events.get(name, []) for name in found}, windows)
    finish(tsv, {f"{clip}.flac": own for clip, own in events_of.items()}, read)
    log.info("%s: %d clips of %d recordings, %d left out", tsv, len(events_of), len(found), len(names) - len(found))


def digest(tables: Sequence[Path]) -> str:
    """Return the SHA-256 of the tables that a set is made from; times of files do not show changes reliably."""
    return hashlib.sha256(b"".join(read_bytes(path) for path in tables)).hexdigest()


def finished(tsv: Path, made_of: str) -> bool:
    """Return whether a set's table exists and was made from tables of this checksum (`digest`); log it if so."""
    note = tsv.with_name(f".{tsv.name}.of")
    if not (tsv.exists() and note.exists() and note.read_text().strip() == made_of):
        return False
    log.info("%s: there already", tsv)
    return True


def finish(tsv: Path, events: Mapping[str, Sequence[Event]], made_of: str) -> None:
    """Write a set's table, then a hidden note of what it was made from, which `finished` reads.

    Args:
        tsv: the table.
        events: {file name of a clip: its events}.
        made_of: `digest` of the tables that the set is made from.
    """
    note = tsv.with_name(f".{tsv.name}.of")
    note.unlink(missing_ok=True)
    write_events_tsv(tsv, events, "", silent=True)
    write_text(note, f"{made_of}\n")


def _names(listing: Path, column: str) -> list[str]:
    names = list(dict.fromkeys(name for _, (name,) in csv_rows(listing, [column])))
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{listing}: {name}: a place outside the split's audio (name files below it)")
    if len({audio_stem(name) for name in names}) < len(names):
        raise UserError(f"{listing}: two recordings whose names differ in the folder or the suffix only (rename one)")
    return names


def cut_all(names: Sequence[str], source: Path, folder: Path, *, seconds: float, max_bad: float, jobs: int) -> Spans:
    """Cut recordings into clips; those that cannot be read are logged and left out.

    Args:
        names: file names of the recordings below `source`.
        source: their folder.
        folder: where the clips are written.
        seconds: length of a clip.
        max_bad: per cent of the recordings that may be unreadable.
        jobs: recordings at once.

    Returns:
        {file name: its windows} of those that were read, in the order of `names`.

    Raises:
        UserError: more than `max_bad` % cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: Spans = {}
    bad: dict[str, str] = {}

    def cut(name: str) -> None:
        try:
            found[name] = cut_recording(source / name, folder, name=audio_stem(name), window=seconds)
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
