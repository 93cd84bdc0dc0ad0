"""Ledger of `predict --watch`, which survives restarts and kills: one line per recording, written after its events.

    {"format": 1, "table": "/home/me/events.jsonl", "header": "", "end": 0, "tail": 0}    at each start
    {"name": "1127/0600.wav", "events": 3, "seconds": 60.0, "end": 512, "tail": 3632233996}
    {"name": "broken.wav", "problem": "broken.wav: empty file (replace it)", "end": 512, "tail": 3632233996}

and with --out-dir, where each recording has files of its own:

    {"format": 1}
    {"name": "1127/0600.wav", "stem": "1127/0600", "events": 3, "seconds": 60.0}

`end` is the length in bytes of the table that all recordings share (--out FILE); with standard output there is none,
even if it is a file. `seconds` is the recording's duration. Content beyond the last `end` is of a recording cut short
by a kill: it is removed at the next start, and the recording processed again. `tail` is the CRC-32 of the bytes before
`end` (TAIL at most): a table with other bytes there is not the ledger's, and is refused. `header` is the table's
header, which depends on its format and on the model's labels: both must stay the same as long as the table is
continued. `stem` is the path of the recording's own files below --out-dir, without suffix. A recording with a
`problem` could not be read; it is not tried again.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sed.errors import UserError
from sed.files import lock
from sed.input_files import misfit, parse_json

log = logging.getLogger("sed.predict")
FORMAT = 1
TAIL = 4096
"""bytes before the end of a table that identify it"""
_LINE = {"name": str, "stem": str, "table": str, "header": str, "end": int, "tail": int}
"""types of the keys that are read here and by `sed.prediction.watch`, all optional; `format`, which is read, too, is
compared with FORMAT: anything else is another version"""


class Ledger:
    """The recordings that are done, unreadable ones included, and the shared table that their events are in.

    Attributes:
        done: {name of a recording: its line}.
        table: the shared table, open for appending, or standard output; None if each recording has files of its own.
    """

    def __init__(
        self,
        file: IO[bytes],
        done: dict[str, dict[str, Any]],
        table: IO[str] | None,
        path: Path | None = None,
        header: str | None = None,
    ) -> None:
        """
        Args:
            file: the ledger, open for appending.
            done: see above.
            table: see above.
            path: path of the table; None for standard output, and without a table.
            header: the table's header by the last run; None if it noted none, as earlier versions did not.
        """
        self.done, self.table, self._file, self._path = done, table, file, path
        self._header = header

    def begin(self, header: str = "") -> None:
        """Note the table's length and header at the start of a run, before anything is written to it.

        Since the last run the table may have been moved away: the last `end` does not hold for the new table.

        Raises UserError if the table has rows under another header.
        """
        if self._path is not None and self._header not in (None, header) and self._path.stat().st_size:
            raise UserError(
                f"{self._path}: begun in another --format, or by a model of other labels (give these, or another --out)"
            )
        named = {} if self._path is None else {"table": _stated(self._path), "header": header}
        self._append({"format": FORMAT, **named})

    def add(self, name: str, **facts: Any) -> None:
        """Note that a recording is done."""
        self.done[name] = {"name": name, **facts}
        self._append(self.done[name])

    def _append(self, facts: dict[str, Any]) -> None:
        end = {}
        if self.table is not None:
            self.table.flush()
            if _is_file(self.table):  # a pipe or a terminal has no length, and cannot be synchronised with a disk
                os.fsync(self.table.fileno())
            if self._path is not None:
                size = os.fstat(self.table.fileno()).st_size
                end = {"end": size, "tail": _tail(self._path, size)}
        self._file.write(json.dumps({**facts, **end}).encode() + b"\n")  # escaped to ASCII: names may be invalid UTF-8
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def open_ledger(path: Path, table: Path | IO[str] | None) -> Iterator[Ledger]:
    """Open a ledger and its table, both reset to their state after the last completed recording.

    Args:
        path: the ledger; created if missing.
        table: path of the table that all recordings share; an open stream (standard output), which is used as it is,
            and not reset; or None.

    Raises:
        UserError: another run uses the ledger, it is damaged, or the table is not the one that it describes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path.parent, path.name), path.open("ab+") as file:
        lines = _read(path, file)
        done = {line["name"]: line for line in lines if "name" in line}
        if isinstance(table, Path):
            _cut_back(table, lines, path)
            table.parent.mkdir(parents=True, exist_ok=True)
            # As `sed.files.open_replacing` writes text, but line ends stay as the format wrote them.
            with table.open("a", encoding="utf-8", errors="backslashreplace", newline="") as opened:
                header = next((line["header"] for line in reversed(lines) if "header" in line), None)
                yield Ledger(file, done, opened, table, header)
        else:
            yield Ledger(file, done, table)


def _read(path: Path, file: IO[bytes]) -> list[dict[str, Any]]:
    """Return the lines; a last one that a kill cut short is removed from the file."""
    file.seek(0)
    data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        file.truncate(len(whole))
    lines = []
    for number, text in enumerate(whole.splitlines(), 1):
        try:
            line = parse_json(text)
            fits = isinstance(line, dict) and not misfit(line, _LINE)
        except ValueError:
            fits = False
        if not fits:
            raise UserError(f"{path}:{number}: not what --watch writes (restore it, or give another --watch-state)")
        if line.get("format", FORMAT) != FORMAT:
            raise UserError(f"{path}:{number}: written by another version (use that, or another --watch-state)")
        lines.append(line)
    return lines


def _cut_back(table: Path, lines: list[dict[str, Any]], path: Path) -> None:
    """Remove the events of an interrupted recording from a table; UserError if the table is not the ledger's.

    A table shorter than the last `end` is left as it is: the user has shortened it, or moved the earlier one away.
    """
    size = table.stat().st_size if table.exists() else 0
    if not size:
        return
    if not _is_ours(table, size, lines):
        raise UserError(f"{table}: not written by --watch with {path} (move it away, or give another --out)")
    ends = [line["end"] for line in lines if "end" in line]
    if ends and size > ends[-1]:
        log.info("%s: %d bytes of a recording that was cut short are removed", table, size - ends[-1])
        os.truncate(table, ends[-1])


def _is_ours(table: Path, size: int, lines: list[dict[str, Any]]) -> bool:
    """Return whether a table that is not empty is the one that the ledger's last run wrote.

    What is before the last `end` decides. Where there is nothing before it, or the table is shorter, its path does.
    Ledgers of earlier versions have neither `tail` nor `table`, and an `end` for standard output, too: with them, a
    table is accepted only if nothing of it will be removed.
    """
    last = next((line for line in reversed(lines) if "end" in line), None)
    if last is None:
        return False
    if "tail" not in last:
        return size <= last["end"]
    if 0 < last["end"] <= size:
        return _tail(table, last["end"]) == last["tail"]
    named = next((line["table"] for line in reversed(lines) if "table" in line), None)
    return named == _stated(table)


def _stated(table: Path) -> str:
    """Return the path by which a ledger names its table."""
    return str(table.resolve())


def _tail(table: Path, end: int) -> int:
    """Return the CRC-32 of the TAIL bytes before `end`, or of as many as there are."""
    with table.open("rb") as file:
        file.seek(max(0, end - TAIL))
        return zlib.crc32(file.read(min(end, TAIL)))


def _is_file(stream: IO[str]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # a stream without a descriptor
        return False
