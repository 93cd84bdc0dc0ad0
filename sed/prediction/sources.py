"""Recordings to predict on: files, folders, globs and standard input.

Audio is decoded block by block in constant memory; standard input and pipes are copied to a temporary file first.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sed.cli import explained
from sed.data.audio import read_blocks
from sed.data.recordings import recordings_of
from sed.errors import UserError

PIPE_SECONDS = 20
"""seconds to wait for a pipe's first byte, chosen by hand, after which its writer counts as not started"""
log = logging.getLogger("sed.predict")


def find_recordings(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Expand files, folders (searched at any depth) and globs, in the order given; `-` is standard input.

    Returns the recordings, each once, and an error line for each path without recordings and for each folder or file
    within a given folder that cannot be read.
    """
    found: dict[str, None] = {}
    problems: list[str] = []
    for text in paths:
        if text == "-":
            found["-"] = None
            continue
        if not text:  # Path would take it for the current folder
            problems.append("a recording without a name (is a variable empty?)")
            continue
        path = Path(text)
        try:
            if path.is_dir():
                closed: list[str] = []  # a line for each folder or file in it that cannot be read
                names = list(map(str, recordings_of(path, log, closed)))
                problems += closed
                if closed and not names:
                    continue
                wrong = f"{text}: no recordings in this folder (looked for wav, flac, ogg, mp3 and the like)"
            elif path.exists():
                names, wrong = [text], ""
            else:
                parent = Path(path.anchor or ".")
                pattern = str(path.relative_to(parent)) if path.anchor else text
                names = sorted(map(str, _matches(parent, pattern))) if _is_glob(text) else []
                wrong = f"{text}: no such file (check the path)"
                if _is_glob(text):  # a matching folder is not searched: the pattern may leave out what is in it
                    wrong = f"{text}: no file matches this pattern (folders are searched only if they are named)"
        except OSError as error:
            names, wrong = [], f"{text}: {explained(error)}"
        except ValueError:  # before Python 3.13
            names, wrong = [], f"{text}: ** within a name is no pattern (use *; ** stands for folders at any depth)"
        found.update(dict.fromkeys(names))
        if not names:
            problems.append(wrong)
    # Of several spellings of one path, the first is kept.
    places = {name: place(name) for name in found if name != "-"}
    first = {places[name]: name for name in reversed(places)}
    return [name for name in found if name == "-" or first[places[name]] == name], problems


def place(name: str) -> Path:
    """Return a recording's absolute path without `.` and `..`, so that different spellings compare equal.

    Links are kept, except those before a `..`, which is the parent of the folder that the link leads to.
    """
    root, *parts = Path(name).absolute().parts
    path = Path(root)
    for part in parts:
        path = path / part if part != ".." else (path.resolve() if path.is_symlink() else path).parent
    return path


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files in a folder that match a pattern; hidden names match only where it has a dot, as in a shell.

    Links that lead nowhere are among them, so that the reader reports them.
    """
    hidden = _hidden_parts(pattern)
    for path in folder.glob(pattern):
        if _hidden_parts(path.relative_to(folder)) <= hidden and (path.is_file() or not path.exists()):
            yield path


def _hidden_parts(path: str | Path) -> int:
    """Return how many names in a path are those of hidden files and folders, such as `._a.wav` of macOS."""
    return sum(part.startswith(".") and part != ".." for part in Path(path).parts)


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def is_stream(path: str) -> bool:
    """Return whether a recording can be read only once, from its start: standard input, a named pipe, `<(command)`."""
    try:
        return path == "-" or stat.S_ISFIFO(Path(path).stat().st_mode)
    except OSError:
        return False  # the reader reports the fault


def _opened_pipe(path: str) -> BinaryIO:
    """Open a named pipe; UserError if nothing is written to it within PIPE_SECONDS."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not select.select([descriptor], [], [], PIPE_SECONDS)[0]:
        os.close(descriptor)
        raise UserError(f"{path}: nothing was written to this pipe within {PIPE_SECONDS} s (start its writer)")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")


def standard_input() -> BinaryIO:
    """Return standard input as bytes; UserError if the process that started this one closed it, as for daemons."""
    if sys.stdin is None:
        raise UserError("standard input: closed (give it a recording or a stream)")
    return sys.stdin.buffer


def read_recording(path: str, rate: int) -> Iterator[np.ndarray]:
    """Yield a recording's mono float32 samples at `rate`, block by block; `-` reads a file from standard input."""
    if not is_stream(path):
        return read_blocks(path, rate)
    spool = tempfile.TemporaryFile()  # libsndfile seeks, a pipe does not  # noqa: SIM115
    with nullcontext(standard_input()) if path == "-" else _opened_pipe(path) as source:
        shutil.copyfileobj(source, spool)
    return read_blocks("standard input" if path == "-" else path, rate, spool)
