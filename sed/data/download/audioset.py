"""Real recordings that no archive has: any local copy of them, found by YouTube id and start time, and linked.

Metadata name a recording `Y<id>_<start>_<end>.wav` or `<id>_<start>_<end>.wav`, times in seconds. Copies go by many
names: with or without the Y, seconds or milliseconds, with an end or without, of any format, at any depth.
"""

from __future__ import annotations

import filecmp
import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sed.data.audio import counted_duration
from sed.data.recordings import FOREIGN, recordings_of
from sed.errors import UserError
from sed.files import replacing, write_text
from sed.input_files import read_text

log = logging.getLogger("sed.recordings")

LONGEST = 12.0  # seconds of a file named by its id alone; a longer one is the whole video
# An id may itself begin with Y: its length decides.
_NAME = re.compile(r"Y?([A-Za-z0-9_-]{11})(?:[_-](\d+(?:\.\d+)?)(?:[_-](\d+(?:\.\d+)?))?)?")


class Key(NamedTuple):
    """A recording: the video's id and where it starts in it, in milliseconds."""

    video: str
    start: int

    def __str__(self) -> str:
        return f"{self.video} at {self.start / 1000:g} s"


def named(filename: str) -> Key:
    """The recording that a name in the metadata stands for (its times are seconds); ValueError for another name."""
    match = _NAME.fullmatch(Path(filename).stem)
    if match is None or match[2] is None:
        raise ValueError(f"'{filename}' is no recording's name (Y<id>_<start>_<end>.wav)")
    return Key(match[1], round(1000 * float(match[2])))


def candidates(stem: str) -> list[Key]:
    """The recordings that a local file of this name may be; the start is -1 where the name has none."""
    match = _NAME.fullmatch(stem)
    if match is None:
        return []
    video, start, end = match.groups()
    if start is None:
        return [Key(video, -1)]
    seconds, milliseconds = Key(video, round(1000 * float(start))), Key(video, round(float(start)))
    if "." in start or (end is not None and float(end) - float(start) < 100):
        return [seconds]
    if end is not None:
        return [milliseconds]
    return [seconds, milliseconds] if seconds != milliseconds else [seconds]


def index(folders: Sequence[Path], wanted: Iterable[Key]) -> dict[Key, Path]:
    """Where the wanted recordings are below the folders.

    UserError when two files that differ go by one recording's name; copies of one file are one.
    """
    keys = set(wanted)
    starts: dict[str, list[Key]] = {}
    for key in keys:
        starts.setdefault(key.video, []).append(key)
    found: dict[Key, Path] = {}
    for path in _audio_files(folders):
        possible = [key for key in candidates(path.stem) if key in keys]
        if not possible and [k.start for k in candidates(path.stem)] == [-1]:
            possible = starts.get(candidates(path.stem)[0].video, [])
            if not possible or not _is_clip(path):
                continue
        if len(possible) > 1:
            raise UserError(f"{path}: {possible[0]} or {possible[1]}? (rename it to <id>_<start>_<end>, in seconds)")
        for key in possible:
            other = found.setdefault(key, path)
            if other != path and not _same(other, path):
                raise UserError(f"{other} and {path}: two different files for {key} (move the wrong one away)")
    return found


def _audio_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (--audio names a folder of recordings)")
        yield from recordings_of(folder, log)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and (one.samefile(other) or filecmp.cmp(one, other, shallow=False))


def _is_clip(path: Path) -> bool:
    """Is a file named by its id alone a clip, not the whole video?"""
    try:
        return counted_duration(path) <= LONGEST
    except UserError:
        return False


@dataclass
class Set:
    """The recordings that one metadata file names, and the folder that they belong to."""

    metadata: Path
    folder: Path
    names: dict[str, Key]
    linked: int = 0
    unreadable: list[Path] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        """The names that have no file."""
        return [name for name in self.names if not (self.folder / name).exists()]

    def line(self) -> str:
        """How many are there, for people."""
        there = len(self.names) - len(self.missing)
        return f"{self.folder}: {there} of {len(self.names)} recordings there, {self.linked} of them linked now"


def read_sets(table: Path, downloads: Path) -> list[Set]:
    """The sets of a table (local/desed_recordings.tsv) whose metadata are there; UserError naming file and line."""
    sets, absent = [], []
    for metadata, folder in _rows(table, ["metadata", "audio"]):
        path = downloads / metadata
        if not path.exists():
            absent.append(metadata)
            continue
        names: dict[str, Key] = {}
        for number, line in enumerate(read_text(path).splitlines(), 1):
            name = line.split("\t")[0].strip()
            if number == 1:
                if name != "filename":
                    raise UserError(f"{path}:1: the first column is '{name}', not 'filename' (is it DESED's file?)")
            elif name:
                try:
                    names[name] = named(name)
                except ValueError as error:
                    raise UserError(f"{path}:{number}: {error}") from None
        sets.append(Set(path, downloads / folder, names))
    if absent:
        log.info("%s: without %s: their recordings are not looked for", downloads, ", ".join(absent))
    return sets


def _rows(table: Path, columns: list[str]) -> Iterator[list[str]]:
    header = False
    for number, line in enumerate(read_text(table).splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != len(columns) or (not header and fields != columns):
            raise UserError(
                f"{table}:{number}: the columns are {' '.join(columns)}, tab-separated (see local/desed_recordings.tsv)"
            )
        if header:
            yield fields
        header = True


def link(sets: Sequence[Set], found: Mapping[Key, Path]) -> None:
    """Link every recording that was found to its place; what is there stays."""
    convert = shutil.which("ffmpeg")
    for one in sets:
        one.folder.mkdir(parents=True, exist_ok=True)
        for name in one.missing:
            source = found.get(one.names[name])
            if source is None:
                continue
            if source.suffix.lower() not in FOREIGN:
                with _temporary(one.folder / name) as part:
                    part.symlink_to(source.resolve())
            elif convert is None or not _convert(convert, source, one.folder / name):
                one.unreadable.append(source)
                continue
            one.linked += 1
        if one.unreadable:
            why = "ffmpeg is needed to read them" if convert is None else "ffmpeg cannot read them"
            log.warning("%s: %d recordings left out, %s: %s", one.folder, len(one.unreadable), why, one.unreadable[0])


class _temporary:
    """A path beside `place` for a link that then takes its name, over a link that leads nowhere."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.part = place.with_name(f".{place.name}.part")

    def __enter__(self) -> Path:
        self.part.unlink(missing_ok=True)
        return self.part

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.part.replace(self.place)


def _convert(ffmpeg: str, source: Path, place: Path) -> bool:
    place.unlink(missing_ok=True)
    try:
        with replacing(place) as part:
            command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(source), "-c:a", "pcm_s16le", "-f", "wav"]
            subprocess.run([*command, str(part)], check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, FileNotFoundError):
        return False
    return True


def write_missing(path: Path, sets: Sequence[Set], reason: Callable[[str], str]) -> int:
    """List the recordings that are in no place: set, filename, and why if that is known; their number."""
    rows = [(one.folder.name, name, reason(name)) for one in sets for name in one.missing]
    write_text(path, "".join("\t".join(row) + "\n" for row in [("set", "filename", "reason"), *rows]))
    return len(rows)
