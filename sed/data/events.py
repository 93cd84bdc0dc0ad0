"""Rules that fit the events of a table to their recordings, for a user's own data, stage 1 and scoring.

Events without length (in whole milliseconds, as tables are written) and events that begin at or beyond their
recording's end are dropped; an offset beyond the end is cut (scoring only counts it); a repeated row counts once;
events of one label that overlap become one (by the caller, with `merge_events` of `sed.data.labels`). Each of these is
an exception, which is counted in a `Tally` and reported by the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sed.data.annotations.annotation import read_text, recording_of, without_backslashes
from sed.data.annotations.registry import label_files, recognised
from sed.data.tables import EVENT_COLUMNS, METADATA, ClipIds, Event, Rules, event_rows
from sed.errors import UserError

# kinds of exceptions, as they complete "12 of 300 events ..." in messages
NO_LENGTH, TWICE = "of no length dropped", "repeated and counted once"
BEYOND, CUT = "beyond their recording's end dropped", "cut at their recording's end"
EXCEEDING = "ending beyond their recording's end kept as they are"
OVERLAPPING = "joined with an event of their label that they overlap"
_MISFITS = (NO_LENGTH, BEYOND, CUT, EXCEEDING)
FULL_NAMES = Rules(clip_id=str)
"""rules under which a clip's id is its file name as written, with folder and suffix"""
MILLISECOND = 1e-3
"""seconds; an event that begins at most this long before its recording's end counts as beyond it"""
LONG = 0.5
"""seconds (our choice); an event that ends more than this beyond its recording is suspect: many of them mean that the
table is wrong"""
NEGLIGIBLE = 0.01
"""seconds (our choice); up to here, an excess over a recording's end is a rounding error: not counted, but cut like a
larger one"""


class Row(NamedTuple):
    """A row of an event table: its line number, clip id, and event (None for a clip without events)."""

    line: int
    """line number in the file; in label files of some tools another number, see `Annotation.line`"""
    clip: str
    event: Event | None
    file: Path | None = None
    """the file that holds the row if the table is a folder of files, else None"""


@dataclass
class Tally:
    """Counts of an event table's events, of exceptions of each kind, and of suspect events."""

    path: Path
    """the table, or a folder of files"""
    events: int = 0
    """events of the table, without those of recordings that are left out"""
    found: dict[str, tuple[int, int]] = field(default_factory=dict)
    """kind of exception -> (number of rows, line of the first)"""
    suspect: int = 0
    """events without length, beyond their recording's end, or ending more than LONG beyond it; too many mean that the
    table is wrong"""
    files: dict[str, Path] = field(default_factory=dict)
    """kind of exception -> file of its first row, if the table is a folder of files"""

    def add(self, kind: str, row: Row, *, suspect: bool = True) -> None:
        """Count an exception.

        Args:
            kind: the exception's kind: NO_LENGTH, TWICE, BEYOND, CUT, EXCEEDING or OVERLAPPING.
            row: the event's row.
            suspect: whether the event is suspect, so that `check` counts it.
        """
        count, first = self.found.get(kind, (0, row.line))
        self.found[kind] = count + 1, first if row.file else min(first, row.line)  # lines of two files do not compare
        if row.file:
            self.files.setdefault(kind, row.file)
        self.suspect += suspect

    def lines(self) -> Iterator[str]:
        """Yield a line of text for each kind of exception."""
        for kind, (count, first) in self.found.items():
            yield f"{self.path}: {count} of {self.events} events {kind}, the first at {self._place(kind, first)}"

    def _place(self, kind: str, line: int) -> str:
        """Return where the first exception of a kind is, for messages."""
        return place(line, self.files.get(kind), self.path)

    def check(self, allowed: float) -> None:
        """Refuse a table with too many suspect events.

        Args:
            allowed: per cent of the events that may be suspect.

        Raises:
            UserError: more events are suspect: they have no length, begin beyond their recording's end, or end more
                than LONG beyond it.
        """
        if 100 * self.suspect > allowed * self.events:
            kinds = "; ".join(
                f"{count} {kind} ({self._place(kind, first)})"
                for kind, (count, first) in self.found.items()
                if kind in _MISFITS
            )
            raise UserError(
                f"{self.path}: {self.suspect} of {self.events} events do not fit their recordings: {kinds} (are its "
                "times in seconds? --max-dropped, if the command has it, allows more, in per cent)"
            )


def place(line: int, file: Path | None, path: Path) -> str:
    """Return where a row is, for messages.

    Args:
        line: its line.
        file: the file that holds it if the table is a folder of files, else None.
        path: the table.

    Returns:
        `line 3`, or `line 3 of monday.txt` in a folder of files.
    """
    return f"line {line} of {file.relative_to(path)}" if file else f"line {line}"


def read_rows(path: str | Path, rules: Rules = METADATA, exclude: Collection[Path] = ()) -> list[Row]:
    """Read an event table in DESED's columns, a label file of another tool, or a folder of these.

    An empty file in a folder is a recording without events.

    Args:
        path: the table, file or folder.
        rules: how strictly to read it.
        exclude: resolved paths of files in the folder that are not read.

    Returns:
        The rows in order; of a folder, file by file, sorted by path.

    Raises:
        UserError: a row cannot be read, with file and line; files of two subfolders are named after one recording; or
            a folder has no label files but those of `exclude`.
    """
    path = Path(path)
    if not path.is_dir():
        return list(_rows_of(path, rules, ClipIds(rules)))
    clips = ClipIds(rules)
    rows: list[Row] = []
    named: dict[str, Path] = {}  # clip id -> label file from whose name it follows
    present = label_files(path)
    files = [file for file in present if file.resolve() not in exclude]
    if not files:
        raise UserError(
            f"{path}: no label files but outputs and other inputs of this command, such as {present[0]} (read or write "
            "another folder)"
        )
    for file in files:
        clip, found = rules.clip_id(recording_of(file)), list(_rows_of(file, rules, clips, in_folder=True))
        # In one folder a recording may have several label files, such as one for each label.
        if any(row.clip == clip for row in found) and named.setdefault(clip, file).parent != file.parent:
            raise UserError(
                f"{file} and {named[clip]} both have labels of recording '{clip}' (folders do not count: rename one, "
                "and its recording)"
            )
        rows += [row._replace(file=file) for row in found]
    return rows


def read_named(path: str | Path, exclude: Collection[Path] = ()) -> dict[str, list[Event]]:
    """Return {file name: its events} of a label file or a folder of them, with the names as the labels have them.

    It serves to convert label files, in which names must not be reduced to clip ids. exclude: as in `read_rows`.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder (check the path)")
    return by_clip(read_rows(path, FULL_NAMES, exclude))


def _rows_of(path: Path, rules: Rules, clips: ClipIds, *, in_folder: bool = False) -> Iterator[Row]:
    """Yield the rows of one file; other tools' formats are recognised only if the rules are not exact."""
    found = recognised(path) if path.is_file() and not rules.exact else None
    if found is None and in_folder and not read_text(path).strip():  # Audacity's file of a track without labels
        yield Row(1, clips.of(str(path), recording_of(path)), None)
        return
    if found is None:
        try:
            yield from (Row(*row) for row in event_rows(path, rules, clips))
        except UserError as error:
            if not in_folder or set(EVENT_COLUMNS) <= set(read_text(path).split("\n", 1)[0].split()):
                raise
            advice = f"; if it holds no labels, move it out of {path.parent})"  # notes, a recorder's settings
            raise UserError(str(error).removesuffix(")") + advice) from None
        return
    reader, text = found
    for line, recording, event in reader.read(path, text):
        yield Row(line, clips.of(f"{path}:{line}", without_backslashes(recording)), event)


def fit(
    path: str | Path, rows: Iterable[Row], seconds: Mapping[str, float], *, cut: bool = True
) -> tuple[list[Row], Tally]:
    """Fit the events of a table to their recordings by the rules of this module.

    Args:
        path: the table, for messages.
        rows: its rows; those of clips that are not in `seconds` are left out and not counted.
        seconds: {clip: length of its recording}.
        cut: cut events at their recording's end; False: only count those that exceed it.

    Returns:
        The rows that are kept, in their order, including rows of clips without events; and the table's counts.
    """
    kept: list[Row] = []
    tally = Tally(Path(path))
    seen: set[tuple[str, Event]] = set()
    for row in rows:
        if row.clip not in seconds or row.event is None:
            kept += [row] if row.clip in seconds else []
            continue
        event, end = row.event, seconds[row.clip]
        tally.events += 1
        if (row.clip, event) in seen:
            tally.add(TWICE, row, suspect=False)
            continue
        seen.add((row.clip, event))
        if round(event.onset, 3) >= round(event.offset, 3):
            tally.add(NO_LENGTH, row)
        elif event.onset >= end - MILLISECOND:
            tally.add(BEYOND, row)
        else:
            if event.offset > end + NEGLIGIBLE:
                tally.add(CUT if cut else EXCEEDING, row, suspect=event.offset > end + LONG)
            kept.append(row._replace(event=event._replace(offset=min(event.offset, end))) if cut else row)
    for row in _overlapping(kept):
        tally.add(OVERLAPPING, row, suspect=False)
    return kept, tally


def _overlapping(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, in their order, whose event begins within an earlier one of its label.

    They are those that `sed.data.labels.merge_events` will join with earlier ones.
    """
    events = sorted((row.clip, e.label, e.onset, e.offset, n) for n, row in enumerate(rows) if (e := row.event))
    found: list[int] = []
    before, end = ("", ""), 0.0
    for clip, label, onset, offset, n in events:
        same = (clip, label) == before
        found += [n] if same and onset < end else []
        before, end = (clip, label), max(offset, end) if same else offset
    return [rows[n] for n in sorted(found)]


def by_clip(rows: Iterable[Row]) -> dict[str, list[Event]]:
    """Return {clip: its events}; a clip named without an event has an empty list."""
    events: dict[str, list[Event]] = {}
    for row in rows:
        events.setdefault(row.clip, []).extend([row.event] if row.event else [])
    return events
