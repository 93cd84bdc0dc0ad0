"""Tab-separated tables of clips: events, tags and durations, in DESED's own columns.

All tables are read here, and errors name file and line. Two sets of `Rules` differ in how strictly a table is read:

- `METADATA`, for tables from a corpus, a user or any tool (ground truth as well as detections): lines may end in
  carriage returns, fields may have blanks around them, and file names may lack a suffix: only `.wav`, `.flac` and other
  suffixes of audio are dropped.
- `DATA_DIR`, for tables that stage 1 wrote and that shell tools (cut, awk) read, too: carriage returns, blanks around
  a field, a header that is not on line 1, a column or a clip's duration given twice, events of no length are refused.
  File names have a suffix, and whatever it is, it is dropped.

Both refuse times that are not finite numbers, onsets after their offsets or before 0, events without a label, two
different durations of one clip, rows without a file name, and rows longer than the header. `METADATA` also refuses two
file names that give one clip id, which stage 1 does not write. `sed.data.events` drops events whose rows are valid but
that do not count: without length, or beyond the recording.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sed.data.recordings import SUFFIXES, shown
from sed.errors import UserError
from sed.files import write_text
from sed.input_files import check_file, naming

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
TAG_COLUMNS = ("filename", "event_labels")
DURATION_COLUMNS = ("filename", "duration")
MOST_SECONDS = 1e8
"""longest duration of a clip, and latest offset of a true event, that is accepted: three years (our choice); metrics of
segments need memory for each second"""
LONGEST = 1 << 20
"""characters; a line of this length or more means that the file is not a table"""
_NOTHING = {"", "nan", "NaN"}  # an empty field, and what pandas writes for it
# float() accepts more: 1_000, inf, nan, digits of other scripts.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


class Event(NamedTuple):
    """One sound event; onset and offset in seconds from the clip's start."""

    onset: float
    offset: float
    label: str


def clip_id(filename: str) -> str:
    """Return the file name without its last suffix: `a/Yx_350.000_360.000.wav` -> `Yx_350.000_360.000`.

    DESED names clips `Y<YouTube id>_<start>_<end>`, times in seconds. A dot that begins a name begins no suffix.
    """
    name = shown(filename.rsplit("/", 1)[-1])
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


def audio_stem(filename: str) -> str:
    """Return the file name without a suffix of audio; other suffixes are kept: `Yx_350.000_360.000` stays as it is.

    Tables from people and tools name recordings with and without a suffix, and names may have dots.
    """
    name = shown(filename.rsplit("/", 1)[-1])
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in SUFFIXES else name


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Strictness of reading a table; see the module's docstring.

    exact: whether to refuse what shell tools would read differently, and events without length; clip_id: function that
    returns a file name's clip id.
    """

    exact: bool = False
    clip_id: Callable[[str], str] = audio_stem


METADATA = Rules()
DATA_DIR = Rules(exact=True, clip_id=clip_id)


class ClipIds:
    """Clip ids of the file names in one table, or in several of one set.

    Under rules that are not exact, it refuses two file names that give one id: they differ only in folder or suffix.
    """

    def __init__(self, rules: Rules = METADATA) -> None:
        self._rules = rules
        self._names: dict[str, str] = {}

    def of(self, where: str, filename: str) -> str:
        """Return a file name's clip id; `where` (file:line) names the row in messages."""
        clip = self._rules.clip_id(filename)
        other = self._names.setdefault(clip, filename)
        if not self._rules.exact and shown(other) != shown(filename):
            raise UserError(
                f"{where}: {filename} and {other} are both clip '{clip}' (folders and suffixes do not "
                "count: rename one, here and on disk)"
            )
        return clip


def read_lines(path: str | Path, rules: Rules = METADATA, *, all_lines: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (line number, line without its end) of a text file, without a byte order mark.

    Args:
        path: the file.
        rules: how strictly its lines are read.
        all_lines: yield blank lines as well, and keep a byte order mark.

    Yields:
        Number from 1, and text.

    Raises:
        UserError: the file is missing or not text, a line is LONGEST or longer, or, by exact rules, ends in a carriage
            return.
    """
    check_file(path)
    try:
        # A data directory's wav.scp, which is read by the exact rules, may have paths that are not UTF-8.
        errors = "surrogateescape" if rules.exact else "strict"
        encoding = "utf-8" if all_lines else "utf-8-sig"
        # newline="": lines keep their ends, so that carriage returns can be refused
        with naming(path), Path(path).open(encoding=encoding, errors=errors, newline="") as file:
            for number, text in enumerate(iter(partial(file.readline, LONGEST), ""), 1):
                if len(text) == LONGEST:
                    raise UserError(f"{path}:{number}: a line of {LONGEST} characters or more (is it a table?)")
                line = text.rstrip("\r\n")
                if "\0" in text:
                    raise UserError(f"{path}:{number}: not a text file (it holds a NUL byte)")
                if rules.exact and "\r" in text:
                    raise UserError(
                        f"{path}:{number}: the line ends in a carriage return (sed -i 's/\\r$//' {path} removes them)"
                    )
                if line.strip() or all_lines:
                    yield number, line
    except IsADirectoryError:
        raise UserError(f"{path}: a folder (a table is expected)") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file (check the path, or run the stage that makes it)") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file (UTF-8 is expected)") from None


def tsv_rows(path: str | Path, columns: Sequence[str], rules: Rules = METADATA) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a TSV whose header names at least these columns.

    Missing values at a row's end are empty strings; a row of more fields than the header is refused.

    Args:
        path: the table.
        columns: names of the columns to read; the first may not be empty in any row.
        rules: how strictly to read it.

    Yields:
        (line number, the values of `columns`).

    Raises:
        UserError: the file is missing, or a row is broken.
    """
    lines = read_lines(path, rules)
    first, text = next(lines, (1, ""))
    header = [column if rules.exact else column.strip() for column in text.split("\t")]
    for column in columns:
        if column not in header or (rules.exact and (first > 1 or header.count(column) > 1)):
            wrong = f"column '{column}' comes twice" if header.count(column) > 1 else f"no column '{column}'"
            line = 1 if rules.exact else first
            raise UserError(f"{path}:{line}: {wrong} (the header must name, with tabs between, {' '.join(columns)})")
    indices = [header.index(column) for column in columns]
    for line, text in lines:
        fields = text.split("\t")
        if len(fields) > len(header):
            raise UserError(f"{path}:{line}: {len(fields)} fields under {len(header)} columns (tabs separate fields)")
        fields += [""] * (len(header) - len(fields))
        values = [fields[i].strip() for i in indices]
        if rules.exact and values != [fields[i] for i in indices]:
            raise UserError(f"{path}:{line}: blanks around a field (a tab and nothing else separates fields)")
        if not values[0]:
            raise UserError(f"{path}:{line}: no {columns[0]} (every row needs one)")
        yield line, values


def number(where: str, name: str, text: str, *, unit: str = "seconds") -> float:
    """Parse a field as a finite number.

    Args:
        where: file:line, for messages.
        name: of the field, for messages.
        text: the field.
        unit: the unit or range that is expected, for messages.

    Returns:
        The number.

    Raises:
        UserError: it is not a finite number.
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):  # 1e999 is infinite
        raise UserError(f"{where}: {name} '{text}' is not a number ({unit})")
    return value


def write_tsv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a TSV with its header row, atomically.

    Args:
        path: the file.
        columns: names of the columns.
        rows: fields of each row.
    """
    lines = ["\t".join(columns), *("\t".join(str(value) for value in row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def event_rows(
    path: str | Path, rules: Rules = METADATA, clips: ClipIds | None = None
) -> Iterator[tuple[int, str, Event | None]]:
    """Read a strong TSV.

    Args:
        path: the table.
        rules: how strictly to read it.
        clips: maps file names to clip ids; pass one to several tables of one set, so that ids are unique in all.

    Yields:
        (line, clip id, event); the event is None if the row only names a clip without events: its other three fields
        are empty, or, unless the rules are exact, `nan` as pandas writes it.

    Raises:
        UserError: a broken row, with file and line.
    """
    clips = clips or ClipIds(rules)
    for line, (filename, onset, offset, label) in tsv_rows(path, EVENT_COLUMNS, rules):
        if filename == "\\" and not rules.exact:  # a line of Audacity's on a label's frequencies, left over
            continue
        where, clip = f"{path}:{line}", clips.of(f"{path}:{line}", filename)
        if not (onset or offset or label) or (not rules.exact and {onset, offset, label} <= _NOTHING):
            yield line, clip, None
            continue
        yield line, clip, event_of(where, filename, onset, offset, label, exact=rules.exact)


def event_of(where: str, filename: str, onset: str, offset: str, label: str, *, exact: bool = False) -> Event:
    """Parse the fields of an event.

    Args:
        where: file:line, for messages.
        filename: the row's file name, for messages.
        onset: seconds, as text.
        offset: seconds, as text.
        label: the label.
        exact: refuse events of no length.

    Returns:
        The event.

    Raises:
        UserError: an empty field, or times that are not numbers, negative or reversed.
    """
    if not (onset and offset and label):
        raise UserError(f"{where}: broken row of {filename} (onset, offset and event_label, or none of them)")
    start, end = number(where, "onset", onset), number(where, "offset", offset)
    if start < 0:
        raise UserError(f"{where}: onset {onset} is negative: before the recording's start (correct the row)")
    if start > end or (start == end and exact):
        raise UserError(f"{where}: onset {onset} is not before offset {offset} (correct the row)")
    return Event(start, end, label)


def read_events_tsv(path: str | Path) -> dict[str, list[Event]]:
    """Read a strong TSV as {clip id: its events in file order}; clips named without an event have an empty list.

    Events without length are left out.
    """
    events: dict[str, list[Event]] = {}
    for _, clip, event in event_rows(path):
        events.setdefault(clip, []).extend([event] if event and event.onset < event.offset else [])
    return events


def event_row(filename: str, event: Event) -> tuple[str, str, str, str]:
    """Return the fields of an event's row, with times rounded to milliseconds."""
    return filename, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label


def write_events_tsv(
    path: str | Path, events: Mapping[str, Sequence[Event]], suffix: str = ".wav", *, silent: bool = False
) -> None:
    """Write a strong TSV, clips and events in order.

    Args:
        path: the table.
        events: {clip id: its events}.
        suffix: appended to a clip id to give the file name.
        silent: also write a row for each clip without events, its other fields empty, as in DESED's validation.tsv.
    """
    rows = []
    for clip in sorted(events):
        rows += [event_row(clip + suffix, event) for event in sorted(events[clip])]
        rows += [(clip + suffix, "", "", "")] * (silent and not events[clip])
    write_tsv(path, EVENT_COLUMNS, rows)


def tag_rows(path: str | Path, rules: Rules = METADATA) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield (line, clip id, tags) of a weak TSV; a clip may have no tags, and one tag twice (as in DESED's table)."""
    clips = ClipIds(rules)
    for line, (filename, text) in tsv_rows(path, TAG_COLUMNS, rules):
        tags = [tag.strip() for tag in text.split(",")] if text else []
        if not all(tags):
            raise UserError(f"{path}:{line}: empty tag in '{text}' (commas between labels)")
        yield line, clips.of(f"{path}:{line}", filename), tuple(tags)


def read_tags_tsv(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a weak TSV as {clip id: its tags, each once}; raise UserError for two rows of a clip with different ones."""
    found: dict[str, tuple[str, ...]] = {}
    for line, clip, tags in tag_rows(path):
        unique = tuple(dict.fromkeys(tags))
        if set(found.setdefault(clip, unique)) != set(unique):
            raise UserError(f"{path}:{line}: clip '{clip}' comes twice (one row per clip, commas between its tags)")
    return found


def write_tags_tsv(path: str | Path, tags: Mapping[str, Sequence[str]], suffix: str = ".wav") -> None:
    """Write a weak TSV in order of clip ids.

    Args:
        path: the file.
        tags: {clip id: its tags}.
        suffix: appended to a clip id to give the file name.
    """
    write_tsv(path, TAG_COLUMNS, ((clip + suffix, ",".join(tags[clip])) for clip in sorted(tags)))


def duration_rows(path: str | Path, rules: Rules = METADATA) -> Iterator[tuple[int, str, float]]:
    """Yield (line, clip id, seconds) of a durations TSV; raise UserError for a duration of 0 or less, or too long."""
    durations: dict[str, float] = {}
    clips = ClipIds(rules)
    for line, (filename, text) in tsv_rows(path, DURATION_COLUMNS, rules):
        clip, seconds = clips.of(f"{path}:{line}", filename), number(f"{path}:{line}", "duration", text)
        if seconds <= 0:
            raise UserError(f"{path}:{line}: duration {text} is not positive (seconds)")
        if seconds > MOST_SECONDS:
            raise UserError(f"{path}:{line}: duration {text} is above {MOST_SECONDS:g} (seconds are expected)")
        if rules.exact and clip in durations:
            raise UserError(f"{path}:{line}: clip '{clip}' comes twice (one row per clip)")
        if durations.setdefault(clip, seconds) != seconds:
            raise UserError(
                f"{path}:{line}: {filename} has two durations, {durations[clip]:g} and {seconds:g} s (keep one)"
            )
        yield line, clip, seconds


def read_durations_tsv(path: str | Path, rules: Rules = METADATA) -> dict[str, float]:
    """Read a durations TSV as {clip id: seconds}; raise UserError if it names no clip."""
    durations = {clip: seconds for _, clip, seconds in duration_rows(path, rules)}
    if not durations:
        raise UserError(f"{path}: names no clip (is it whole?)")
    return durations


def seconds_text(seconds: float) -> str:
    """Return a time in seconds as text, to 1 ms or finer: six significant digits below 1000 s, else three decimals."""
    return f"{seconds:.6g}" if seconds < 1000 else f"{seconds:.3f}"


def write_durations_tsv(path: str | Path, durations: Mapping[str, float], suffix: str = ".wav") -> None:
    """Write a durations TSV in order of clip ids.

    Args:
        path: the file.
        durations: {clip id: seconds}.
        suffix: appended to a clip id to give the file name.
    """
    rows = ((clip + suffix, seconds_text(durations[clip])) for clip in sorted(durations))
    write_tsv(path, DURATION_COLUMNS, rows)
