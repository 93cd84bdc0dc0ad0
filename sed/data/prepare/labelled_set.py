"""A set in DESED's layout from recordings with one label file each.

The table of events is written after the audio, and last a note of what it was made from: both mark a finished set
(`finished` of `sed.data.prepare.cutting`).
"""

from __future__ import annotations

import logging
import os
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from sed.cli import explained
from sed.data.annotations.annotation import read_text, without_backslashes
from sed.data.annotations.registry import recognised
from sed.data.audio import duration
from sed.data.prepare.clips import warn_of_late_events, window_events
from sed.data.prepare.cutting import cut_all, digest, finish, finished
from sed.data.recordings import files_below, recordings_of, shown
from sed.data.tables import Event, audio_stem, event_rows, read_lines
from sed.errors import UserError

log = logging.getLogger("sed.cut")
LAYOUT = "is the corpus whole, and in its own layout?"
"""what messages ask the user to check"""
MARGIN = 0.01
"""seconds (our choice) by which a recording may exceed the length of a clip and still become one clip"""


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
    """Link recordings into `audio`, or cut those longer than a clip into clips, and write their events to `tsv`.

    Do nothing if `tsv` was made from these label files and recordings of these names, in clips of this length, and all
    clips exist.

    Args:
        recordings: folder of audio, at any depth.
        labels: folder of the label files, at any depth, named like their recordings, in any format of
            `sed.data.annotations`.
        audio: folder for the clips.
        tsv: table to write, in DESED's columns.
        suffix: suffix of the label files.
        listed: text file that names the set's recordings: a path per line, up to the first tab, whose folder does not
            count; None: all recordings.
        known: the corpus's labels; any other is refused. Empty: all labels are accepted.
        seconds: length of a clip.
        max_bad: per cent of the recordings longer than a clip that may be unreadable.
        jobs: number of recordings that are cut at once.

    Raises:
        UserError: the layout is unknown, a label is not one of the corpus's, a recording's header shows damage, too
            many recordings are unreadable, or `audio` is in `recordings` or has a file where a link belongs.
    """
    if recordings.resolve() in (audio.resolve(), *audio.resolve().parents):
        raise UserError(f"{audio}: in {recordings}, of which all recordings are read (choose a folder outside of it)")
    files = _by_stem(recordings, None)
    tables = _by_stem(labels, suffix)
    if listed is not None:
        chosen = _listed(listed, files, recordings)
        files = {name: path for name, path in files.items() if name in chosen}
        tables = {name: path for name, path in tables.items() if name in chosen}
    _match(files, tables, recordings, labels, suffix)
    # With the sizes of the label files: their digest alone is the same if a line moves to the next file.
    rows = sorted(f"{path.relative_to(recordings)}\t{tables[name].stat().st_size}" for name, path in files.items())
    listing = os.fsencode("\n".join(rows))
    made_of = f"{digest([tables[name] for name in sorted(tables)])} recordings={zlib.crc32(listing):08x}"
    made_of += f" seconds={seconds:g}" if seconds != 10.0 else ""  # earlier versions knew 10 s only: their sets stay
    if finished(tsv, made_of, audio):
        return
    events = {name: _events(tables[name], name, known) for name in sorted(files)}
    # A recording whose header does not state its length is treated as a longer one: cutting counts the samples.
    short = [name for name, path in files.items() if (duration(path) or seconds + 1) <= seconds + MARGIN]
    audio.mkdir(parents=True, exist_ok=True)
    # Clip ids have no blanks: they are the ids that `_by_stem` compares, also if there is a blank before the suffix.
    links = {name: "_".join(files[name].stem.split()) + files[name].suffix for name in short}
    for name, link in links.items():
        _link(files[name], audio / link)
    longer = {str(path.relative_to(recordings)): name for name, path in files.items() if name not in links}
    found = cut_all(list(longer), recordings, audio, seconds=seconds, max_bad=max_bad, jobs=jobs) if longer else {}
    windows = {longer[path]: spans for path, spans in found.items()}
    cut = window_events(events, windows)
    warn_of_late_events(events, windows)
    clips = {link: events[name] for name, link in links.items()} | {
        f"{clip}.flac": clip_events for clip, clip_events in cut.items()
    }
    finish(tsv, clips, made_of)
    counts = Counter(event.label for found_events in events.values() for event in found_events)
    log.info(
        "%s: %d clips of %d recordings, %d events of %d labels",
        *(tsv, len(clips), len(short) + len(found), counts.total(), len(counts)),
    )


def _by_stem(folder: Path, suffix: str | None) -> dict[str, Path]:
    """Return {name without suffix: file} of a folder's recordings (suffix None), or of its files with a suffix."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder ({LAYOUT})")
    if suffix is None:
        paths = recordings_of(folder, log)
    else:

        def warn(error: OSError) -> None:
            log.warning("%s: %s", error.filename, explained(error))

        below = files_below(folder, warn)
        paths = sorted(Path(place, name) for place, name in below if name.endswith(suffix) and name[0] != ".")
    found: dict[str, Path] = {}
    clips: dict[str, Path] = {}
    for path in paths:
        name = audio_stem(path.name) if suffix is None else shown(path.name.removesuffix(suffix))
        clip = "_".join(name.split())  # as clips are named
        if (other := clips.setdefault(clip, path)) != path:
            raise UserError(f"{path} and {other} are both '{clip}' (each recording and label file once)")
        found[name] = path
    return found


def _listed(listed: Path, files: Mapping[str, Path], recordings: Path) -> set[str]:
    """Return the recordings of a list; raise UserError for one that does not exist."""
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
    """Raise UserError if a recording has no label file, or a label file no recording."""
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
    """Return the events of the label file of recording `name`; none if the file is empty or blank.

    Args:
        path: the label file.
        name: the recording, which the file may not contradict.
        known: accepted labels; empty: all.
    """
    if not read_text(path).strip():
        return []
    found = recognised(path)
    events: list[Event] = []
    # None: a table in DESED's columns, or of no known format, which is refused
    for line, recording, event in event_rows(path) if found is None else found[0].read(path, found[1]):
        stem = audio_stem(without_backslashes(recording))
        if stem != name:
            raise UserError(f"{path}:{line}: labels of '{stem}' in the file of '{name}' ({LAYOUT})")
        if event is not None and known and event.label not in known:
            raise UserError(f"{path}:{line}: label '{event.label}' is none of the corpus's ({', '.join(known)})")
        events += [event] if event is not None else []
    return events


def _link(source: Path, place: Path) -> None:
    """Make `place` a relative link to a recording; an existing link is replaced atomically, a file is refused."""
    target = os.path.relpath(source.resolve(), place.parent.resolve())
    if place.is_symlink() and str(place.readlink()) == target:
        return
    if place.exists() and not place.is_symlink():
        raise UserError(f"{place}: not a link, so no earlier run has written it (choose another folder for the clips)")
    part = place.with_name(f".{place.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(place)
