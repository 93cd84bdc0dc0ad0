"""Search for recordings in folders: one list of suffixes and one rule for links and hidden files, for all commands."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sed.cli import explained

FOREIGN = (
    *(".m4a", ".m4b", ".mp4", ".aac", ".3gp", ".3gpp", ".amr", ".webm", ".weba", ".mkv", ".mka", ".mov", ".wma"),
    *(".ac3", ".wv", ".tta", ".ape", ".avi", ".mts", ".m4v", ".3g2", ".wmv"),
)
"""formats of phones, cameras and recorders that need ffmpeg or PyAV"""
SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".nist", ".ircam", ".sf", ".svx"),
    *FOREIGN,
)
"""suffixes of recordings: of the formats that libsndfile reads, and FOREIGN"""


@dataclass
class Found:
    """Recordings below a folder, in order, and entries that were skipped."""

    paths: list[Path] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """unreadable folders, each with its reason"""
    broken: list[str] = field(default_factory=list)
    """entries with a suffix of recordings that are not files, each with its reason"""
    hidden: int = 0
    """number of hidden files with a suffix of recordings"""


def shown(name: str) -> str:
    """Return a file's name as tables and clip ids have it.

    Letters with accents are composed (NFC), since macOS decomposes them in file names, and tables rarely have them
    decomposed. Tabs, line ends and bytes that are not UTF-8, which no table can hold, are escaped.
    """
    text = unicodedata.normalize("NFC", name).encode("utf-8", "backslashreplace").decode("utf-8")
    return text.translate({ord(mark): repr(mark)[1:-1] for mark in "\t\n\r"})


def find_recordings(folder: str | Path) -> Found:
    """Find every recording below a folder; links are followed, and each folder is searched once.

    Hidden files (`._a.wav`) are only counted, hidden folders not searched.
    """
    found = Found()

    def note(error: OSError) -> None:
        found.closed.append(f"{error.filename}: {explained(error)}")

    for place, name in files_below(folder, note):
        if Path(name).suffix.lower() not in SUFFIXES:
            continue
        if name.startswith("."):
            found.hidden += 1
        elif fault := _fault(path := Path(place, name)):
            found.broken.append(f"{path}: {fault}")
        else:
            found.paths.append(path)
    found.paths.sort()
    return found


def _fault(path: Path) -> str:
    """Return why a path is not a file, "" if it is one."""
    try:
        return "" if path.is_file() else "not a regular file" if path.exists() else "a link that leads nowhere"
    except PermissionError as error:  # its folder may be listed, but not entered
        return explained(error)


def recordings_of(folder: str | Path, log: logging.Logger, closed: list[str] | None = None) -> list[Path]:
    """Return the recordings below a folder, and report the entries that were skipped.

    Args:
        folder: where to look, at any depth.
        log: gets a line with the number of hidden files.
        closed: list to which a line is added for each folder or file that cannot be read. None: they are logged as
            warnings instead, every folder but only the first file, since a folder of links that was moved may have
            thousands.

    Returns:
        The recordings in order.
    """
    found = find_recordings(folder)
    if found.hidden:
        log.info("%s: %d hidden files (such as ._a.wav) are not read", folder, found.hidden)
    if closed is not None:
        closed += found.closed + found.broken
        return found.paths
    more = len(found.broken) - 1
    for problem in found.closed + found.broken[:1]:
        log.warning("%s%s", problem, f" (and {more} more)" if more > 0 and problem in found.broken else "")
    return found.paths


def files_below(folder: str | Path, note: Callable[[OSError], None]) -> Iterator[tuple[str, str]]:
    """Yield (folder, file name) of all files below a folder, except in hidden folders. Links are followed.

    `note` gets the error of an unreadable folder.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=note):
        try:
            status = Path(place).stat()
        except OSError as error:  # removed since it was listed, for example
            note(error)
            folders.clear()
            continue
        if (identity := (status.st_dev, status.st_ino)) in seen:  # visited before, through a link
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            yield place, name
