"""Protocol of label file readers, and their shared types and parsing: annotations, text, times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from sed.data.tables import Event, event_of
from sed.errors import UserError
from sed.input_files import read_bytes

_RAVEN_NAME = re.compile(r"(\.Table\.\d+)?\.selections$", re.IGNORECASE)
"""what Raven adds to a recording's name before `.txt`"""
_ENDS = re.compile(r" *[\t\r\n\v\f\x1c-\x1e]+ *")
"""tabs, line ends and the ASCII control characters at which `str.splitlines` splits, with the blanks around them"""
_LINE_END = re.compile(r"\r\n|\r|\n")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
"""beginning of an absolute path of Windows; in other names a backslash may be a character, such as the `\\t` that
`sed.data.recordings.shown` writes for a tab"""
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+", re.ASCII)


class Annotation(NamedTuple):
    """A labelled event, or a recording without events (`event` None)."""

    line: int
    """line number in the file, from 1; instead, the annotation's number in ELAN's files, the observation's in JAMS, the
    task's in Label Studio's"""
    recording: str
    """file name of the recording as the label file has it, maybe with folders or without a suffix"""
    event: Event | None


class Reader(Protocol):
    """A format of label files; a new one is a module with these members and an entry in `registry.READERS`."""

    name: str
    """the format's name in messages, with its article"""

    def recognises(self, text: str) -> bool:
        """Return whether the first `registry.HEAD` characters of a file look like this format."""
        ...

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the annotations of a file.

        Args:
            path: the label file, for messages.
            text: its whole content.

        Raises:
            UserError: an annotation cannot be read; names the file and the line.
        """
        ...


def read_text(path: Path) -> str:
    """Return the content of a text file in UTF-8, or in UTF-16 with a byte order mark; UserError for anything else."""
    data = read_bytes(path)
    if data.startswith(b"ooBinaryFile"):
        raise UserError(f"{path}: in Praat's binary format (in Praat: Save, Save as text file)")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file (UTF-8 is expected)") from None
    if "\0" in text:
        raise UserError(
            f"{path}:{text[: text.index(chr(0))].count(chr(10)) + 1}: not a text file (it holds a NUL byte)"
        )
    return text


def lines_of(text: str) -> list[str]:
    """Return the lines of a text. `str.splitlines` would also split at characters that a label may hold (U+2028)."""
    return _LINE_END.split(text)


def recording_of(path: Path) -> str:
    """Return the recording that a label file's name implies: `a` for `a.txt` and `a.Table.1.selections.txt`.

    A suffix of audio may remain (`a.wav` for `a.wav.txt`); `sed.data.tables.ClipIds` drops it. A dot that begins a name
    begins no suffix.
    """
    return _RAVEN_NAME.sub("", path.name.rsplit(".", 1)[0] if "." in path.name[1:] else path.name)


def is_named_by_raven(path: Path) -> bool:
    """Return whether a label file has a name like `a.Table.1.selections.txt`, which Raven derives from the audio's."""
    return _RAVEN_NAME.search(path.stem) is not None


def without_backslashes(name: str) -> str:
    """Return the name of a recording, with `/` instead of backslashes if it is an absolute path of Windows."""
    return name.replace("\\", "/") if _WINDOWS.match(name) else name


def annotation(path: Path, line: int, recording: str, onset: str, offset: str, label: str) -> Annotation:
    """Parse the fields of an annotation.

    Args:
        path: the label file, for messages.
        line: see `Annotation.line`.
        recording: file name of the recording.
        onset: seconds, as text; a decimal comma is read as a point.
        offset: the same.
        label: the label; tabs and line ends in it, which no table can hold, are read as blanks.

    Returns:
        The annotation.

    Raises:
        UserError: times that are not numbers, negative or reversed, or an empty label.
    """
    label = _ENDS.sub(" ", label.strip())
    event = event_of(f"{path}:{line}", recording, with_point(onset), with_point(offset), label)
    return Annotation(line, recording, event)


def with_point(text: str) -> str:
    """Return a number's text with a point instead of a decimal comma; other texts are returned unchanged."""
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def or_none(annotations: Iterable[Annotation], recording: str, line: int = 1) -> Iterator[Annotation]:
    """Yield the annotations of a recording, or name it as a recording without events.

    Args:
        annotations: the annotations.
        recording: file name of the recording.
        line: `Annotation.line` for a recording without events.

    Yields:
        The annotations; if there are none, one without an event.
    """
    found = None
    for found in annotations:
        yield found
    if found is None:
        yield Annotation(line, recording, None)


def seconds_of(value: object) -> float:
    """Return a number of a JSON file as a float; NaN for anything else, and for numbers that no float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def seconds_text(value: float) -> str:
    """Return a time as text for `annotation`; `nan`, which it refuses, for an infinite one, which JSON may hold."""
    return repr(float(value)) if math.isfinite(value) else "nan"
