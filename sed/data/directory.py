"""Data directories: `wav.scp`, `events.tsv`, `tags.tsv`, `durations.tsv` of one set, in DESED's own columns.

The clip id is the file name less its last suffix. Every reader names the file and line of what it refuses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sed.errors import UserError
from sed.files import write_text

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")
TAG_COLUMNS = ("filename", "event_labels")
DURATION_COLUMNS = ("filename", "duration")

# Annotations are written with three decimals and durations are of whole samples: an offset may lie this far
# beyond its clip (s).
SLACK = 2e-3


class Event(NamedTuple):
    """One sound event; onset and offset in seconds from the clip's start."""

    onset: float
    offset: float
    label: str


def clip_id(filename: str) -> str:
    """The file name less its last suffix: `a/Yx_350.000_360.000.wav` -> `Yx_350.000_360.000`."""
    name = filename.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line) of a text file, empty lines left out; UserError when missing or not text."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(f"{path}: no such file (run the stage that makes it)") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file (UTF-8 is expected)") from None


def read_labels(path: str | Path) -> list[str]:
    """Read labels.txt: one label a line, line number = column of every target and score matrix."""
    labels: list[str] = []
    for line, text in read_lines(path):
        label = text.strip()
        if label in labels:
            raise UserError(f"{path}:{line}: label '{label}' comes twice (keep one)")
        if "," in label or "\t" in label:
            raise UserError(f"{path}:{line}: label '{label}' holds a comma or a tab (one label a line)")
        labels.append(label)
    if not labels:
        raise UserError(f"{path}: no labels (write one a line)")
    return labels


def read_set_labels(folder: Path) -> list[str]:
    """The labels of one set: labels.txt in its folder, else beside it."""
    inside = folder / "labels.txt"
    return read_labels(inside if inside.exists() else folder.parent / "labels.txt")


def tsv_rows(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, the values of `columns`) of a TSV whose header names at least these columns.

    Missing values at a row's end are empty strings; a row of more fields than the header is refused.
    """
    lines = read_lines(path)
    header = next(lines, (1, ""))[1].rstrip("\r").split("\t")
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(
            f"{path}:1: no column '{missing[0]}' (the header must name, with tabs between, {' '.join(columns)})"
        )
    at = [header.index(column) for column in columns]
    for line, text in lines:
        fields = text.rstrip("\r").split("\t")
        if len(fields) > len(header):
            raise UserError(f"{path}:{line}: {len(fields)} fields under {len(header)} columns (tabs separate fields)")
        fields += [""] * (len(header) - len(fields))
        values = [fields[i].strip() for i in at]
        if not values[0]:
            raise UserError(f"{path}:{line}: no {columns[0]} (every row needs one)")
        yield line, values


def write_tsv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a TSV with its header row, at once or not at all."""
    lines = ["\t".join(columns), *("\t".join(str(value) for value in row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def event_rows(path: str | Path) -> Iterator[tuple[int, str, Event | None]]:
    """Yield (line, clip id, event) of a strong TSV; the event is None where a row only names a clip without any."""
    for line, (filename, onset, offset, label) in tsv_rows(path, EVENT_COLUMNS):
        if not (onset or offset or label):
            yield line, clip_id(filename), None
            continue
        if not (onset and offset and label):
            raise UserError(f"{path}:{line}: broken row of {filename} (onset, offset and event_label, or none of them)")
        start, end = _seconds(path, line, "onset", onset), _seconds(path, line, "offset", offset)
        if start < 0 or start >= end:
            raise UserError(f"{path}:{line}: onset {onset} is not before offset {offset} (correct the row)")
        yield line, clip_id(filename), Event(start, end, label)


def read_events_tsv(path: str | Path) -> dict[str, list[Event]]:
    """Read a strong TSV as {clip id: its events in file order}; clips named without an event have an empty list."""
    events: dict[str, list[Event]] = {}
    for _, clip, event in event_rows(path):
        events.setdefault(clip, []).extend([event] if event else [])
    return events


def write_events_tsv(path: str | Path, events: Mapping[str, Sequence[Event]], suffix: str = ".wav") -> None:
    """Write {clip id: events} as a strong TSV, clips and events in order, milliseconds; no row without an event."""
    write_tsv(
        path,
        EVENT_COLUMNS,
        (
            (clip + suffix, f"{event.onset:.3f}", f"{event.offset:.3f}", event.label)
            for clip in sorted(events)
            for event in sorted(events[clip])
        ),
    )


def tag_rows(path: str | Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield (line, clip id, tags) of a weak TSV; a clip may have none, and (DESED's has) one tag twice."""
    for line, (filename, text) in tsv_rows(path, TAG_COLUMNS):
        tags = [tag.strip() for tag in text.split(",")] if text else []
        if not all(tags):
            raise UserError(f"{path}:{line}: empty tag in '{text}' (commas between labels)")
        yield line, clip_id(filename), tuple(tags)


def read_tags_tsv(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a weak TSV as {clip id: its tags, each once}."""
    return {clip: tuple(dict.fromkeys(tags)) for _, clip, tags in tag_rows(path)}


def write_tags_tsv(path: str | Path, tags: Mapping[str, Sequence[str]], suffix: str = ".wav") -> None:
    """Write {clip id: tags} as a weak TSV, in order of the ids."""
    write_tsv(path, TAG_COLUMNS, ((clip + suffix, ",".join(tags[clip])) for clip in sorted(tags)))


def duration_rows(path: str | Path) -> Iterator[tuple[int, str, float]]:
    """Yield (line, clip id, seconds) of a durations TSV."""
    for line, (filename, text) in tsv_rows(path, DURATION_COLUMNS):
        seconds = _seconds(path, line, "duration", text)
        if seconds <= 0:
            raise UserError(f"{path}:{line}: duration {text} is not positive (seconds)")
        yield line, clip_id(filename), seconds


def read_durations_tsv(path: str | Path) -> dict[str, float]:
    """Read a durations TSV as {clip id: seconds}."""
    return {clip: seconds for _, clip, seconds in duration_rows(path)}


def write_durations_tsv(path: str | Path, durations: Mapping[str, float], suffix: str = ".wav") -> None:
    """Write {clip id: seconds} as a durations TSV, in order of the ids."""
    write_tsv(path, DURATION_COLUMNS, ((clip + suffix, f"{durations[clip]:.6g}") for clip in sorted(durations)))


def read_scp(path: str | Path) -> dict[str, str]:
    """Read `id value` lines (wav.scp, feats.scp), which must be in C order without duplicates."""
    table: dict[str, str] = {}
    last = b""
    for line, text in read_lines(path):
        clip, _, value = text.strip().partition(" ")
        if not value.strip():
            raise UserError(f"{path}:{line}: no value after '{clip}' (each line: id, a space, the rest)")
        if clip in table:
            raise UserError(f"{path}:{line}: clip '{clip}' comes twice (ids are unique)")
        if clip.encode() < last:
            raise UserError(f"{path}:{line}: '{clip}' is out of order (sort with LC_ALL=C sort)")
        table[clip] = value.strip()
        last = clip.encode()
    if not table:
        raise UserError(f"{path}: no clips (is its audio there?)")
    return table


def write_scp(path: str | Path, table: Mapping[str, str]) -> None:
    """Write `id value` lines in C order."""
    write_text(path, "".join(f"{clip} {table[clip]}\n" for clip in sorted(table, key=str.encode)))


@dataclass(frozen=True)
class DataDir:
    """One set: which clips there are, where, how long (s), and what is known of their content."""

    path: Path
    wavs: dict[str, str]
    """clip id -> path of its audio, ids in C order"""
    durations: dict[str, float]
    """clip id -> seconds"""
    events: dict[str, list[Event]] | None = None
    """a strong set's events by clip id, in order, every clip with a list; None for other sets"""
    tags: dict[str, tuple[str, ...]] | None = field(default=None)
    """a weak set's tags by clip id; None for other sets"""

    @property
    def clips(self) -> list[str]:
        """The clip ids in C order."""
        return list(self.wavs)

    @classmethod
    def load(cls, path: str | Path, labels: Sequence[str] | None = None) -> DataDir:
        """Read and check a data (or dump) directory; `labels` (None: any) bounds the labels it may use."""
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"{path}: no such data directory (run stage 1, or check the path)")
        wavs = read_scp(path / "wav.scp")
        durations: dict[str, float] = {}
        for line, clip, seconds in duration_rows(path / "durations.tsv"):
            _known_clip(path / "durations.tsv", line, clip, wavs)
            if clip in durations:
                raise UserError(f"{path / 'durations.tsv'}:{line}: clip '{clip}' comes twice (ids are unique)")
            durations[clip] = seconds
        for clip in wavs:
            if clip not in durations:
                raise UserError(f"{path / 'durations.tsv'}: no duration of clip '{clip}' of wav.scp (add its row)")
        known = set(labels) if labels is not None else None
        events = tags = None
        if (path / "events.tsv").exists():
            events = _load_events(path / "events.tsv", wavs, durations, known)
        if (path / "tags.tsv").exists():
            tags = _load_tags(path / "tags.tsv", wavs, known)
        return cls(path=path, wavs=wavs, durations=durations, events=events, tags=tags)


def _load_events(
    file: Path, wavs: dict[str, str], durations: dict[str, float], known: set[str] | None
) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = {clip: [] for clip in wavs}
    for line, clip, event in event_rows(file):
        _known_clip(file, line, clip, wavs)
        if event is None:
            continue
        _known_label(file, line, event.label, known)
        if event.offset > durations[clip] + SLACK:
            raise UserError(
                f"{file}:{line}: offset {event.offset:g} is beyond the clip's {durations[clip]:g} s (cut it)"
            )
        events[clip].append(event)
    return {clip: sorted(found) for clip, found in events.items()}


def _load_tags(file: Path, wavs: dict[str, str], known: set[str] | None) -> dict[str, tuple[str, ...]]:
    tags: dict[str, tuple[str, ...]] = {}
    for line, clip, found in tag_rows(file):
        _known_clip(file, line, clip, wavs)
        if clip in tags:
            raise UserError(f"{file}:{line}: clip '{clip}' comes twice (one row a clip)")
        for label in found:
            _known_label(file, line, label, known)
        tags[clip] = tuple(dict.fromkeys(found))
    for clip in wavs:
        if clip not in tags:
            raise UserError(f"{file}: no row of clip '{clip}' of wav.scp (add its row)")
    return tags


def _known_clip(file: Path, line: int, clip: str, wavs: Mapping[str, str]) -> None:
    if clip not in wavs:
        raise UserError(f"{file}:{line}: clip '{clip}' is not in wav.scp (add it there, or drop the row)")


def _known_label(file: Path, line: int, label: str, known: set[str] | None) -> None:
    if known is not None and label not in known:
        raise UserError(f"{file}:{line}: unknown label '{label}' (labels.txt has {', '.join(sorted(known))})")


def _seconds(path: str | Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}:{line}: {name} '{text}' is not a number (seconds)")
    return value
