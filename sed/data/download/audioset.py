"""AudioSet recordings, which no archive of the corpus has: local copies are found by YouTube id and start time.

Metadata name a recording `Y<id>_<start>_<end>.wav` or `<id>_<start>_<end>.wav`, with times in seconds. Names of copies
vary: with or without the Y, times in seconds or milliseconds, with or without an end, of any format, at any depth.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sed.data.audio import counted_duration
from sed.data.download.shards import is_shard
from sed.data.recordings import FOREIGN, recordings_of
from sed.errors import RunError, UserError
from sed.files import replacing, write_text
from sed.input_files import read_text

log = logging.getLogger("sed.recordings")

LONGEST = 12.0
"""seconds; a longer file whose name has no times is the whole video, and not one of AudioSet's clips of 10 s"""
LONGEST_IN_SECONDS = 100
"""times in a name that differ by less are in seconds, others in milliseconds"""
MOST_SECONDS = 120
"""limit on the time that ffmpeg has to convert a copy"""
# An id may itself begin with Y: it always has 11 characters. Times have at most 12 digits: 400 would be infinite.
_TIME = r"[_-](\d{1,12}(?:\.\d+)?)"
_NAME = re.compile(rf"Y?([A-Za-z0-9_-]{{11}})(?:{_TIME}(?:{_TIME})?)?")


class Key(NamedTuple):
    """A recording: a section of a YouTube video."""

    video: str
    """YouTube id"""
    start: int
    """start in the video in milliseconds"""

    def __str__(self) -> str:
        return f"{self.video} at {self.start / 1000:.10g} s"  # exact: `collect.Collection.wanted` is their digest


def named(filename: str) -> Key:
    """Return the recording that a file name in the metadata stands for; ValueError if it has another form."""
    match = _NAME.fullmatch(Path(filename).stem)
    if match is None or match[2] is None:
        raise ValueError(f"'{filename}' is not a recording's name (Y<id>_<start>_<end>.wav)")
    return Key(match[1], round(1000 * float(match[2])))


def candidates(stem: str) -> list[Key]:
    """Return the recordings that a copy of this name may be, since its times may be seconds or milliseconds.

    The start is -1 if the name has no times; the list is empty if it has no YouTube id.
    """
    match = _NAME.fullmatch(stem)
    if match is None:
        return []
    video, start, end = match.groups()
    if start is None:
        return [Key(video, -1)]
    seconds, milliseconds = Key(video, round(1000 * float(start))), Key(video, round(float(start)))
    if "." in start or (end is not None and float(end) - float(start) < LONGEST_IN_SECONDS):
        return [seconds]
    if end is not None:
        return [milliseconds]
    return [seconds, milliseconds] if seconds != milliseconds else [seconds]


def index(folders: Sequence[Path], wanted: Iterable[Key]) -> dict[Key, list[Path]]:
    """Return {recording: its copies below the folders}, in the order of the folders.

    Raises:
        UserError: one of `folders` is missing, or a file's name may stand for two of the wanted recordings.
    """
    keys = set(wanted)
    starts: dict[str, list[Key]] = {}
    for key in keys:
        starts.setdefault(key.video, []).append(key)
    found: dict[Key, list[Path]] = {}
    left_out: dict[Path, str] = {}
    for path in _audio_files(folders):
        possible = [key for key in candidates(path.stem) if key in keys]
        if not possible and [k.start for k in candidates(path.stem)] == [-1]:
            possible = starts.get(candidates(path.stem)[0].video, [])
            if possible and (why := why_not_a_clip(path)):
                left_out[path] = why
                continue
        if len(possible) > 1:
            raise UserError(f"{path}: {possible[0]} or {possible[1]}? (rename it to <id>_<start>_<end>, in seconds)")
        for key in possible:
            found.setdefault(key, []).append(path)
    for path, why in [*left_out.items()][:1]:
        log.warning("%d files whose names have no times left out, the first %s: %s", len(left_out), path, why)
    return found


def _audio_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file() and is_shard(folder):
            continue  # `collect` reads shards
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (--audio names a folder of recordings, or a shard of them)")
        yield from recordings_of(folder, log)


def why_not_a_clip(path: Path) -> str:
    """Return why a file whose name has no times is not a clip: too long, or unreadable; "" if it is one."""
    try:
        return "" if counted_duration(path) <= LONGEST else f"longer than {LONGEST:g} s: the whole video"
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")


def is_filled(place: Path) -> bool:
    """Return whether there is a file that is not empty, or a link to one, at a recording's path in the corpus."""
    try:
        return place.stat().st_size > 0
    except OSError:
        return False


@dataclass
class Set:
    """The recordings that one metadata file names, and the folder for them."""

    metadata: Path
    folder: Path
    names: dict[str, Key]
    """file name -> recording"""
    before: int = 0
    """number of recordings that existed before this run"""

    @property
    def missing(self) -> list[str]:
        """The file names of the recordings that do not exist yet."""
        return [name for name in self.names if not is_filled(self.folder / name)]

    def line(self) -> str:
        """Return the numbers of existing, expected and new recordings, for messages."""
        existing = len(self.names) - len(self.missing)
        new = existing - self.before
        return f"{self.folder}: {existing} of {len(self.names)} recordings there, {new} of them new"


def read_sets(table: Path, downloads: Path) -> list[Set]:
    """Read a table of metadata files and their folders of audio, such as local/desed_recordings.tsv.

    Args:
        table: the table.
        downloads: folder of the corpus.

    Returns:
        The sets whose metadata file exists; the others are logged.

    Raises:
        UserError: a row of the table or the metadata is broken; names the file and the line.
    """
    sets, absent = [], []
    for metadata, folder in _rows(table, ["metadata", "audio"]):
        path = downloads / metadata
        if not path.exists():
            absent.append(metadata)
            continue
        names: dict[str, Key] = {}
        for number, line in enumerate(read_text(path, "utf-8-sig").splitlines(), 1):
            name = line.split("\t")[0].strip()
            if number == 1:
                if name != "filename":
                    raise UserError(f"{path}:1: the first column is '{name}', not 'filename' (is it DESED's file?)")
            elif name:
                try:
                    names[name] = named(name)
                except ValueError as error:
                    raise UserError(f"{path}:{number}: {error}") from None
        found = Set(path, downloads / folder, names)
        found.before = len(names) - len(found.missing)
        sets.append(found)
    if absent:
        log.info("%s: without %s: their recordings are not looked for", downloads, ", ".join(absent))
    return sets


def _rows(table: Path, columns: list[str]) -> Iterator[list[str]]:
    """Yield the rows of a table with these columns; lines that begin with # are comments."""
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


def is_foreign(path: Path) -> bool:
    """Return whether ffmpeg must convert a file, since libsndfile does not read its format."""
    return path.suffix.lower() in FOREIGN


def convert(source: Path, place: Path) -> str:
    """Convert a file to a WAV at `place`; return "", or why the file cannot be read to its end.

    Raises:
        RunError: the WAV cannot be written.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return "ffmpeg is needed to read it"
    # file: since ffmpeg takes what stands before a colon in a relative path for a protocol
    decode = [ffmpeg, "-nostdin", "-v", "error", "-xerror", "-y", "-i", f"file:{source}", "-c:a", "pcm_s16le", "-f"]

    def run(*output: str) -> None:
        done = subprocess.run([*decode, *output], capture_output=True, timeout=MOST_SECONDS)
        if done.returncode or done.stderr:  # ffmpeg may report damage, leave a gap, and still exit with 0
            raise subprocess.CalledProcessError(done.returncode, ffmpeg, stderr=done.stderr)

    try:
        with replacing(place) as part:
            try:
                run("wav", f"file:{part}")
            except subprocess.CalledProcessError as error:
                run("null", "-")  # fails, too, if it is the file that ffmpeg cannot read
                why = (error.stderr.decode(errors="replace").splitlines() or [f"exit {error.returncode}"])[-1].strip()
                raise RunError(f"{place}: ffmpeg cannot write it: {why} (is the disk, or the memory, full?)") from None
    except subprocess.TimeoutExpired:
        return f"ffmpeg needs more than {MOST_SECONDS} s"
    except (subprocess.CalledProcessError, FileNotFoundError):  # the second: ffmpeg reported nothing and wrote nothing
        return "ffmpeg cannot read it"
    return ""


def write_missing(path: Path, sets: Sequence[Set], reason: Callable[[str], str]) -> int:
    """Write a table of the missing recordings: set, filename, and reason if known.

    Args:
        path: the table to write.
        sets: the sets with their recordings.
        reason: returns the reason for a file name, or "".

    Returns:
        The number of missing recordings.
    """
    rows = [(a_set.folder.name, name, reason(name)) for a_set in sets for name in a_set.missing]
    write_text(path, "".join("\t".join(row) + "\n" for row in [("set", "filename", "reason"), *rows]))
    return len(rows)
