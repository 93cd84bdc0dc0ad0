"""Collection, from copies, of the recordings that the metadata name: linked from folders, or extracted from shards.

A recording's place is its path in the corpus; the first copy that is found fills it, and further copies are compared
with that one. Three tables in the corpus's folder report the result: `origins.tsv` where each recording is from,
`differing_copies.tsv` the copies whose length, level or waveform differ from the one in place, and `unknown_keys.tsv`
the files in shards that are not recordings of the metadata. `.shards.json` stores which shards were read and
`.compared.tsv` every comparison, so that neither is done twice.

A shard's keys name the files in it (`sed.data.download.shards`); a `Key` identifies a recording.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sed.data.download.annotations import Events, annotated, events_of, match
from sed.data.download.archive import move
from sed.data.download.audioset import Key, Set, candidates, convert, is_filled, is_foreign, why_not_a_clip
from sed.data.download.comparison import Difference, compare
from sed.data.download.shards import Member, is_shard, members, suffix_of
from sed.data.recordings import files_below, shown
from sed.data.tables import write_tsv
from sed.errors import UserError
from sed.files import write_json

log = logging.getLogger("sed.recordings")

UNKNOWN_TABLE, DIFFERING_TABLE = "unknown_keys.tsv", "differing_copies.tsv"
ORIGINS = ("set", "filename", "origin")
UNKNOWN = ("shard", "key", "why")
DIFFERING = ("set", "filename", "origin", "other", "seconds", "decibels", "correlation")
_COMPARED = ("set", "filename", "other", "size", "mtime_ns", "seconds", "decibels", "correlation")
_NOT_COMPARED = "nan"


@dataclass
class Place:
    """The place of a recording in the corpus."""

    set: str
    """name of the set's folder"""
    path: Path

    @property
    def is_filled(self) -> bool:
        """True if there is a file that is not empty, or a link to one."""
        return is_filled(self.path)


@dataclass
class _Read:
    """Content of a shard when it was read."""

    size: int
    mtime_ns: int
    wanted: str
    """digest of the recordings that were wanted then"""
    found: list[list[Any]] = field(default_factory=list)
    """[key in the shard, video, start in ms] of the wanted recordings in it"""
    unknown: list[list[str]] = field(default_factory=list)
    """[key in the shard, why] of the other files in it"""


class Collection:
    """Collection of the recordings of `sets`, in the folder `downloads`."""

    def __init__(self, sets: Sequence[Set], downloads: Path) -> None:
        self.sets = sets
        self.downloads = downloads
        self.places: dict[Key, list[Place]] = {}
        """recording -> its places: a recording may be in several sets"""
        for a_set in sets:
            a_set.folder.mkdir(parents=True, exist_ok=True)
            for name, key in a_set.names.items():
                self.places.setdefault(key, []).append(Place(a_set.folder.name, a_set.folder / name))
        self.starts: dict[str, list[Key]] = {}
        """YouTube id -> the wanted recordings from that video"""
        for key in self.places:
            self.starts.setdefault(key.video, []).append(key)
        self.wanted = hashlib.sha256("\n".join(sorted(map(str, self.places))).encode()).hexdigest()
        """digest of the wanted recordings, as in `_Read.wanted`"""
        self.scratch = downloads / ".collecting"
        self.origins = _Log(downloads / "origins.tsv", ORIGINS)
        self.compared = _Log(downloads / ".compared.tsv", _COMPARED)
        self._forget_comparisons()
        self.origin_of = {(name, clip): origin for name, clip, origin in self.origins.rows}
        self.known = {row[:5] for row in self.compared.rows}
        """comparisons that were made: the first five columns of _COMPARED"""
        self.unreadable: dict[str, list[str]] = {}
        """why copies cannot be converted -> those copies"""

    def _forget_comparisons(self) -> None:
        """Drop comparisons with recordings that are gone from their places, which other copies may fill now."""
        empty = {
            (place.set, place.path.name) for places in self.places.values() for place in places if not place.is_filled
        }
        if any(row[:2] in empty for row in self.compared.rows):
            self.compared.replace([row for row in self.compared.rows if row[:2] not in empty])

    # --- folders

    def link(self, found: Mapping[Key, Sequence[Path]], folders: Sequence[Path]) -> None:
        """Link each recording's first copy to its places, and compare the other copies with it.

        Args:
            found: {recording: its copies in folders}.
            folders: the folders that were searched.
        """
        for key, paths in found.items():
            for path in paths:
                origin, below = self._name_of(path, folders)
                for place in self.places[key]:
                    if place.is_filled:
                        self._compare(place, f"{origin}/{below}", path, path)
                    else:
                        self._fill(place, origin, path)

    def _name_of(self, path: Path, folders: Sequence[Path]) -> tuple[str, str]:
        """Return a copy's origin (a folder of copies/ if stage 0 downloaded it, else that given) and its path there."""
        copies = self.downloads / "copies"
        if path.is_relative_to(copies):
            part = path.relative_to(copies).parts[0]
            return shown(part), shown(str(path.relative_to(copies / part)))
        folder = next(folder for folder in folders if path.is_relative_to(folder))
        return shown(str(folder.resolve())), shown(str(path.relative_to(folder)))

    def _label(self, shard: Path) -> str:
        """Return the origin of a shard's files: its path below copies/ if it was downloaded, else its whole path."""
        copies = self.downloads / "copies"
        return shown(str(shard.relative_to(copies) if shard.is_relative_to(copies) else shard.resolve()))

    def _fill(self, place: Place, origin: str, path: Path) -> None:
        """Link a file to a place, or convert it there if libsndfile does not read its format."""
        if place.path.is_symlink():  # a broken link, since the place is not filled
            place.path.unlink()
        self._note(place, origin)
        if is_foreign(path):
            if why := convert(path, place.path):
                self.unreadable.setdefault(why, []).append(str(path))
            return
        part = place.path.with_name(f".{place.path.name}.part")
        part.unlink(missing_ok=True)
        part.symlink_to(path.resolve())
        part.replace(place.path)

    def _note(self, place: Place, origin: str) -> None:
        """Store where a recording is from; called before it is in its place, so that a kill leaves none without."""
        self.origin_of[place.set, place.path.name] = origin
        self.origins.add((place.set, place.path.name, origin))

    # --- shards

    def read_shards(self, shards: Sequence[Path]) -> list[tuple[str, str, str]]:
        """Fill the places from shards.

        A shard is not read again unless it has changed, other recordings are wanted, or one from it was removed.

        Args:
            shards: tars, zip files or parquet tables.

        Returns:
            (shard, key, why) of the files in shards that are not recordings of the metadata.
        """
        notes, unknown = _Notes(self.downloads / ".shards.json"), list[tuple[str, str, str]]()
        try:
            for shard in shards:
                origin = self._label(shard)
                status = shard.stat()
                note = notes.of(shard)
                if note is None or not self._is_read(note, status):
                    note = _Read(status.st_size, status.st_mtime_ns, self.wanted)
                    if self._read_shard(shard, origin, note):
                        os.sync()  # the recordings are on the disk before the note that they need not be read again
                        notes.add(shard, note)
                    counts = len(note.found), len(note.unknown)
                    log.info("%s: %d recordings of the metadata, %d other keys", shard, *counts)
                unknown += [(origin, key, why) for key, why in note.unknown]
        finally:
            notes.write()
        shutil.rmtree(self.scratch, ignore_errors=True)
        return unknown

    def _is_read(self, note: _Read, status: os.stat_result) -> bool:
        if (note.size, note.mtime_ns, note.wanted) != (status.st_size, status.st_mtime_ns, self.wanted):
            return False
        keys = [Key(video, start) for _, video, start in note.found]
        return all(place.is_filled for key in keys for place in self.places[key])

    def _read_shard(self, shard: Path, origin: str, note: _Read) -> bool:
        """Fill places from a shard in one pass, and store its content in `note`; return whether it was read to its end.

        Files that are identified by their annotations instead of their keys take a second pass.
        """
        self.scratch.mkdir(exist_ok=True)
        described: dict[str, Events] = {}
        try:
            for member in members(shard):
                if member.suffix == ".json":
                    described[member.key] = events_of(member.read())
                    continue
                key, why = self._key_of(member.key)
                if key is not None:
                    why = self._take(key, member, shard, origin)
                if key is not None and not why:
                    note.found.append([member.key, *key])
                else:
                    note.unknown.append([member.key, why])
            self._match(shard, origin, note, described)
        except UserError as error:
            log.warning("%s", error)
            return False
        return True

    def _match(self, shard: Path, origin: str, note: _Read, described: Mapping[str, Events]) -> None:
        """Take the files of a shard whose keys are unknown but whose annotations (`described`) are those of a clip.

        Not those of a clip that the shard has under its own key: then the annotations are those of two files.
        """
        unknown = {name for name, _ in note.unknown}
        annotated_keys = {name: events for name, events in described.items() if name in unknown and events}
        if not annotated_keys:
            return
        taken = {(video, start) for _, video, start in note.found}
        identified = {
            name: key for name, key in match(annotated_keys, annotated(self.sets)).items() if tuple(key) not in taken
        }
        if not identified:
            return
        found: set[str] = set()
        for member in members(shard):
            key = identified.get(member.key)
            if key is not None and member.suffix != ".json" and not self._take(key, member, shard, origin):
                note.found.append([member.key, *key])
                found.add(member.key)
        note.unknown = [row for row in note.unknown if row[0] not in found]
        log.info("%s: %d recordings found by their annotations", shard, len(found))

    def _key_of(self, name: str) -> tuple[Key | None, str]:
        """Return the wanted recording that a key in a shard stands for, or None and why."""
        possible = candidates(name)
        found = [key for key in possible if key in self.places]
        if not found and [key.start for key in possible] == [-1]:  # the name has no start, see `candidates`
            found = self.starts.get(possible[0].video, [])
        if len(found) == 1:
            return found[0], ""
        if found:
            return None, f"{found[0]} or {found[1]}"
        return None, "no recording of the metadata" if possible else "no YouTube id"

    def _take(self, key: Key, member: Member, shard: Path, origin: str) -> str:
        """Extract a member to the empty places of its recording, and compare it with the copies in the others.

        Args:
            key: the recording.
            member: a file in the shard.
            shard: the shard.
            origin: of the shard's files.

        Returns:
            "", or why it cannot be this recording.
        """
        empty = [place for place in self.places[key] if not place.is_filled]
        filled = [place for place in self.places[key] if place.is_filled]
        # not from this shard: its own files, when it is read again, need no comparison
        from_others = [place for place in filled if self.origin_of.get((place.set, place.path.name)) != origin]
        status = shard.stat()
        name = shown(f"{origin}:{member.key}")
        to_compare = [place for place in from_others if not self._was_compared(place, name, status)]
        if not empty and not to_compare:
            return ""
        content = member.read()
        if not content:
            return "empty"
        path = self.scratch / f"member{member.suffix or suffix_of(content)}"
        path.write_bytes(content)
        # without a start in its name, it may be the whole video
        if [candidate.start for candidate in candidates(member.key)] == [-1] and (why := why_not_a_clip(path)):
            return why
        for place in to_compare:
            self._compare(place, name, path, shard)
        for number, place in enumerate(empty):
            self._note(place, origin)
            if place.path.is_symlink():
                place.path.unlink()
            if is_foreign(path):
                if why := convert(path, place.path):
                    # its place stays empty, so that the next run reads the shard again
                    self.unreadable.setdefault(why, []).append(name)
            elif number + 1 < len(empty):  # a copy for each place, the file itself for the last one
                shutil.copyfile(path, part := self.scratch / "copy")
                move(part, place.path)
            else:
                move(path, place.path)
        return ""

    def note_fetched(self, path: Path) -> None:
        """Store YouTube as the origin of the recording that is about to fill a place."""
        self._note(Place(path.parent.name, path), "YouTube")

    # --- comparisons

    def _was_compared(self, place: Place, other: str, status: os.stat_result) -> bool:
        """Return whether the copy `other`, in a file of this status, was compared with the one in place before."""
        return (place.set, place.path.name, other, str(status.st_size), str(status.st_mtime_ns)) in self.known

    def _compare(self, place: Place, other: str, path: Path, source: Path) -> None:
        """Compare a copy with the one in a recording's place, and store the result; once for each copy.

        Args:
            place: the recording's place.
            other: the copy's path, as the tables name it.
            path: the copy.
            source: the same file, or the shard from which it was extracted.
        """
        if place.path.samefile(path):
            return
        status = source.stat()
        if self._was_compared(place, other, status):
            return
        numbers = ("0", "0", "1")  # of equal files: seconds, decibels, correlation
        if not filecmp.cmp(place.path, path, shallow=False):
            try:
                found = compare(place.path, path)
                numbers = (f"{found.seconds:.3f}", f"{found.level:.2f}", f"{found.correlation:.3f}")
            except UserError:
                numbers = (_NOT_COMPARED,) * 3  # one of the two cannot be read
        row = (place.set, place.path.name, other, str(status.st_size), str(status.st_mtime_ns), *numbers)
        self.known.add(row[:5])
        self.compared.add(row)

    def differing(self) -> list[tuple[str, ...]]:
        """Return the rows of `differing_copies.tsv`: copies that differ from the one in the recording's place."""
        return [
            (name, clip, self.origin_of.get((name, clip), ""), other, *numbers)
            for name, clip, other, _, _, *numbers in self.compared.rows
            if Difference(*map(float, numbers)).is_large
        ]

    def close(self, unknown: Sequence[tuple[str, str, str]]) -> None:
        """Write the tables of origins, of copies that differ, and of unknown keys."""
        rows: list[tuple[str, ...]] = []
        for a_set in self.sets:
            for name in a_set.names:
                place = Place(a_set.folder.name, a_set.folder / name)
                if place.is_filled:
                    rows.append((place.set, name, self.origin_of.get((place.set, name), _origin_unknown(place.path))))
        known = {a_set.folder.name for a_set in self.sets}
        rows += [row for row in self.origins.rows if row[0] not in known]  # of sets whose metadata are absent now
        self.origins.replace(rows)
        write_tsv(self.downloads / UNKNOWN_TABLE, UNKNOWN, ((shard, shown(key), why) for shard, key, why in unknown))
        differing = self.differing()
        write_tsv(self.downloads / DIFFERING_TABLE, DIFFERING, differing)
        if unknown:
            log.warning("%d files in shards are not recordings of the metadata: %s", len(unknown), UNKNOWN_TABLE)
        if differing:
            log.warning("%d copies differ from the recordings in place: %s", len(differing), DIFFERING_TABLE)
        for why, copies in self.unreadable.items():
            log.warning("%d copies left out: %s, the first %s", len(copies), why, copies[0])


def _origin_unknown(path: Path) -> str:
    """Return the origin of a recording that none of our runs has put there: the folder that it links to, if any."""
    return shown(str(path.resolve().parent)) if path.is_symlink() else "there before"


def find_shards(folders: Sequence[Path]) -> list[Path]:
    """Return the shards below folders, in order and each once; an item of `folders` may itself be a shard.

    Links are followed and hidden files are skipped, as for recordings; a warning names a link that leads nowhere.
    """
    found: dict[Path, Path] = {}  # resolved: the shard, as it was found first
    for folder in folders:
        if is_shard(folder) and folder.is_file():
            found.setdefault(folder.resolve(), folder)
            continue
        # `audioset.index` has warned of folders that cannot be read.
        paths = [Path(place, name) for place, name in files_below(folder, lambda _: None) if not name.startswith(".")]
        for path in sorted(filter(is_shard, paths)):
            if path.is_file():
                found.setdefault(path.resolve(), path)
            else:
                log.warning("%s: left out: not a regular file, or a link that leads nowhere", path)
    return [*found.values()]


class _Notes:
    """The notes on the content of shards. All are written each time, so at most a tenth of the time goes into that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: dict[str, _Read] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):  # it is only a cache: the shards are read again
            self.notes = {name: _Read(**note) for name, note in json.loads(path.read_text()).items()}
        self.is_stale = False
        self.written, self.seconds = 0.0, 0.0  # when the file was written, and how long that took

    def of(self, shard: Path) -> _Read | None:
        return self.notes.get(str(shard.resolve()))

    def add(self, shard: Path, note: _Read) -> None:
        self.notes[str(shard.resolve())], self.is_stale = note, True
        if time.monotonic() - self.written > 9 * self.seconds:
            self.write()

    def write(self) -> None:
        if self.is_stale:
            start = time.monotonic()
            write_json(self.path, {name: vars(note) for name, note in self.notes.items()})
            self.written, self.is_stale = time.monotonic(), False
            self.seconds = self.written - start


class _Log:
    """A table that is extended row by row; a last row that a kill or a full disk left incomplete is dropped."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns
        self.fresh = not path.exists()
        text = "" if self.fresh else path.read_text(encoding="utf-8", errors="replace")
        complete = [line.split("\t") for line in text.split("\n")[1:-1]]  # a complete line has an end
        self.rows = [tuple(fields) for fields in complete if len(fields) == len(columns)]
        if not self.fresh and not text.endswith("\n"):
            write_tsv(path, columns, self.rows)

    def add(self, row: tuple[str, ...]) -> None:
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            rows = [tuple(self.columns), row] if self.fresh else [row]
            file.write("".join("\t".join(one) + "\n" for one in rows))
        self.fresh = False

    def replace(self, rows: Sequence[tuple[str, ...]]) -> None:
        write_tsv(self.path, self.columns, rows)
        self.rows, self.fresh = list(rows), False
