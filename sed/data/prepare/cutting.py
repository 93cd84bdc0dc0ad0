"""A split of long annotated recordings as clips in DESED's layout: audio first, their table last."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sed.data.prepare.clips import Columns, csv_rows, cut_recording, read_events, window_events
from sed.data.tables import audio_stem, write_events_tsv
from sed.errors import UserError
from sed.files import write_text
from sed.input_files import read_bytes
from sed.progress import Progress

log = logging.getLogger("sed.cut")
Spans = dict[str, list[tuple[float, float]]]


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
    """Cut `split`/audio into clips of `seconds` in `audio` and write their events to `tsv`; nothing when that is done.

    `clips` names the table of all recordings, `annotations` those of events, of which the first that is there counts;
    the columns of annotator and review are looked for in all but the first, the final one. UserError for a layout
    that is not known, and when more than `max_bad` % of the recordings cannot be read.
    """
    tables = [split / name for name in annotations if (split / name).exists()]
    if not tables:
        raise UserError(f"{split}: no {' or '.join(annotations)} (its layout is not the one known here)")
    table, listing = tables[0], split / clips
    read = hashlib.sha256(b"".join(read_bytes(path) for path in (table, listing) if path.exists())).hexdigest()
    note = tsv.with_name(f".{tsv.name}.of")
    if tsv.exists() and note.exists() and note.read_text().strip() == read:  # not by their times: clocks jump
        log.info("%s: there already", tsv)
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
    if not final:  # a recording that nobody annotated is not one without events
        log.info("%s: %d of %d recordings are annotated, the others left out", table, len(events), len(names))
        names = [name for name in names if name in events]
    audio.mkdir(parents=True, exist_ok=True)
    found, bad = _cut_all(names, split / "audio", audio, seconds, jobs)
    for name, why in bad.items():
        log.warning("left out: %s: %s", name, why)
    if 100 * len(bad) > max_bad * len(names):
        raise UserError(
            f"{split}: {len(bad)} of {len(names)} recordings cannot be read (more than {max_bad:g} %; --max-bad of "
            f"sed.bin.cut_recordings): "
            f"{next(iter(bad.values()))}"
        )
    ids = {name: audio_stem(name) for name in found}
    windows = {ids[name]: spans for name, spans in found.items()}
    heard = window_events({ids[name]: events.get(name, []) for name in found}, windows)
    note.unlink(missing_ok=True)
    write_events_tsv(tsv, heard, ".flac", silent=True)
    write_text(note, f"{read}\n")
    log.info("%s: %d clips of %d recordings, %d left out", tsv, len(heard), len(found), len(bad))


def _names(listing: Path, column: str) -> list[str]:
    names = list(dict.fromkeys(name for _, (name,) in csv_rows(listing, [column])))
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{listing}: {name}: a place outside the split's audio (name files below it)")
    if len({audio_stem(name) for name in names}) < len(names):
        raise UserError(f"{listing}: two recordings whose names differ in the folder or the suffix only (rename one)")
    return names


def _cut_all(
    names: Sequence[str], source: Path, folder: Path, seconds: float, jobs: int
) -> tuple[Spans, dict[str, str]]:
    """Cut the recordings; {file name: its windows} and {file name: why it was left out}."""
    found: Spans = {}
    bad: dict[str, str] = {}

    def one(name: str) -> None:
        try:
            found[name] = cut_recording(source / name, folder, name=audio_stem(name), window=seconds)
        except UserError as error:
            bad[name] = str(error)

    with ThreadPoolExecutor(jobs) as pool, Progress(len(names), "recording", title="cut", logger=log) as progress:
        for _ in pool.map(one, names):
            progress.advance()
    return {name: found[name] for name in names if name in found}, {name: bad[name] for name in names if name in bad}
