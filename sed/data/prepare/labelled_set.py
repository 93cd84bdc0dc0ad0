"""Recordings with a label file each, as a set in DESED's layout: audio first, their table last."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from sed.data.annotations.registry import recognised
from sed.data.audio import duration
from sed.data.prepare.clips import window_events
from sed.data.prepare.cutting import cut_all, digest, finish, finished
from sed.data.recordings import recordings_of, shown
from sed.data.tables import Event, audio_stem, read_lines
from sed.errors import UserError

log = logging.getLogger("sed.cut")
LAYOUT = "is the corpus whole, and in its own layout?"
MARGIN = 0.01
"""seconds by which a recording may be longer than a clip and still be one"""


def lay_out_set(
    recordings: Path,
    labels: Path,
    audio: Path,
    tsv: Path,
    *,
    suffix: str,
    listed: Path | None = None,
    known: Collection[str] = (),
    seconds: float = 10.0,
    max_bad: float = 5.0,
    jobs: int = 2,
) -> None:
    """Put recordings into `audio`, those no longer than a clip as links, and write their events to `tsv`.

    Longer ones are cut into clips. Nothing is done when the label files are those that the table was made of.

    Args:
        recordings: folder of audio, at any depth.
        labels: folder of the label files, at any depth, each of the recording of its name, in any known format.
        audio: folder for the clips.
        tsv: table to write, in DESED's columns.
        suffix: of the label files.
        listed: a list of the recordings that belong to the set, their paths in its first field; None: all do.
        known: the corpus's labels; none: any.
        seconds: length of a clip.
        max_bad: per cent of the recordings that may be unreadable.
        jobs: recordings at once.

    Raises:
        UserError: another layout, a label that is none of the corpus's, or too many unreadable recordings.
    """
    files = _by_stem(recordings, None)
    tables = _by_stem(labels, suffix)
    if listed is not None:
        chosen = _listed(listed, files, recordings)
        files = {name: path for name, path in files.items() if name in chosen}
        tables = {name: path for name, path in tables.items() if name in chosen}
    _match(files, tables, recordings, labels, suffix)
    read = digest([tables[name] for name in sorted(tables)])
    if finished(tsv, read):
        return
    events = {name: _events(tables[name], name, known) for name in sorted(files)}
    whole = [name for name, path in files.items() if (duration(path) or seconds + 1) <= seconds + MARGIN]
    audio.mkdir(parents=True, exist_ok=True)
    names = {name: "_".join(files[name].name.split()) for name in whole}  # ids have no blanks
    for name, linked in names.items():
        _link(files[name], audio / linked)
    longer = {str(path.relative_to(recordings)): name for name, path in files.items() if name not in names}
    found = cut_all(list(longer), recordings, audio, seconds=seconds, max_bad=max_bad, jobs=jobs) if longer else {}
    cut = window_events(events, {longer[path]: spans for path, spans in found.items()})
    clips = {linked: events[name] for name, linked in names.items()} | {
        f"{clip}.flac": own for clip, own in cut.items()
    }
    finish(tsv, clips, read)
    counts = Counter(event.label for own in events.values() for event in own)
    log.info(
        "%s: %d clips of %d recordings, %d events of %d labels",
        *(tsv, len(clips), len(whole) + len(found), counts.total(), len(counts)),
    )


def _by_stem(folder: Path, suffix: str | None) -> dict[str, Path]:
    """Return {name without suffix: file} of a folder's recordings, or of its files of a suffix."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder ({LAYOUT})")
    if suffix is None:
        paths = recordings_of(folder, log)
    else:
        paths = sorted(path for path in folder.rglob(f"*{suffix}") if not path.name.startswith("."))
    found: dict[str, Path] = {}
    for path in paths:
        name = audio_stem(path.name) if suffix is None else shown(path.name.removesuffix(suffix))
        if found.setdefault(name, path) != path:
            raise UserError(f"{path} and {found[name]} are both '{name}' (each recording and label file once)")
    return found


def _listed(listed: Path, files: Mapping[str, Path], recordings: Path) -> set[str]:
    """Return the names of a list; UserError for one that is no recording."""
    chosen: set[str] = set()
    for line, text in read_lines(listed):
        name = audio_stem(text.split("\t")[0].strip())
        if name not in files:
            raise UserError(f"{listed}:{line}: '{name}' is not in {recordings} ({LAYOUT})")
        chosen.add(name)
    if not chosen:
        raise UserError(f"{listed}: names no recording ({LAYOUT})")
    return chosen


def _match(files: Mapping[str, Path], tables: Mapping[str, Path], recordings: Path, labels: Path, suffix: str) -> None:
    """Refuse recordings without a label file, and label files without a recording."""
    if not files:
        raise UserError(f"{recordings}: no recordings in it ({LAYOUT})")
    if lacking := sorted(files.keys() - tables.keys()):
        raise UserError(
            f"{labels}: no {suffix} file of {len(lacking)} of {len(files)} recordings, as '{lacking[0]}' ({LAYOUT})"
        )
    if lacking := sorted(tables.keys() - files.keys()):
        raise UserError(
            f"{recordings}: no recording of {len(lacking)} of {len(tables)} {suffix} files, as '{lacking[0]}' "
            f"({LAYOUT})"
        )


def _events(path: Path, name: str, known: Collection[str]) -> list[Event]:
    """Return the events of a label file, which is of the recording `name`; an empty file has none."""
    if not path.stat().st_size:
        return []
    found = recognised(path)
    if found is None:
        raise UserError(f"{path}: not the labels of a recording in a known format ({LAYOUT})")
    reader, text = found
    events: list[Event] = []
    for line, recording, event in reader.read(path, text):
        if audio_stem(recording) != name:
            raise UserError(f"{path}:{line}: labels of '{audio_stem(recording)}' in the file of '{name}' ({LAYOUT})")
        if event is not None and known and event.label not in known:
            raise UserError(f"{path}:{line}: label '{event.label}' is none of the corpus's ({', '.join(known)})")
        events += [event] if event is not None else []
    return events


def _link(source: Path, place: Path) -> None:
    """Link a recording to its place, relative to it; a link that is there is replaced, at once."""
    target = os.path.relpath(source.resolve(), place.parent.resolve())
    if place.is_symlink() and str(place.readlink()) == target:
        return
    part = place.with_name(f".{place.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(place)
