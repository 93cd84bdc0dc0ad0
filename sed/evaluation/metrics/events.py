"""Tables of events: ground truth and detections, in the columns that every SED tool writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sed.data.directory import DURATION_COLUMNS, EVENT_COLUMNS, tsv_rows
from sed.errors import UserError
from sed.files import open_replacing

AUDIO = ("wav", "flac", "ogg", "mp3", "m4a", "aac", "opus", "aif", "aiff")


@dataclass(frozen=True, kw_only=True)
class EventTable:
    """Events as columns: clip (n,) and label (n,) index lists kept elsewhere; onset, offset (n,) seconds.

    Sorted by clip, label, onset.
    """

    clip: np.ndarray
    label: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    @staticmethod
    def of(clip: Sequence, label: Sequence, onset: Sequence, offset: Sequence) -> EventTable:
        """From columns in any order of rows."""
        columns = (
            np.asarray(clip, np.int64),
            np.asarray(label, np.int64),
            np.asarray(onset, float),
            np.asarray(offset, float),
        )
        order = np.lexsort((columns[3], columns[2], columns[1], columns[0]))
        return EventTable(**dict(zip(("clip", "label", "onset", "offset"), (c[order] for c in columns), strict=True)))

    def __len__(self) -> int:
        return len(self.clip)

    def where(self, mask: np.ndarray) -> EventTable:
        """The rows that `mask` (n,) chooses."""
        return EventTable(
            clip=self.clip[mask], label=self.label[mask], onset=self.onset[mask], offset=self.offset[mask]
        )


def clip_name(filename: str) -> str:
    """The clip id of a file name: without its folder and, when that is one of audio, its last suffix.

    Other suffixes stay: foreign tables name clips without one, and `Yx_350.000_360.000` is whole.
    """
    name = filename.rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in AUDIO else name


def _table(path: Path, columns: Sequence[str]) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such file (a table with the columns {', '.join(columns)} is expected)")
    return path


def read_events(path: str | Path) -> tuple[list[tuple[int, str, float, float, str]], list[str]]:
    """[(line, clip, onset, offset, label)] and all the clips that the table names, also those without an event."""
    path = Path(path)
    events, clips = [], {}
    for line, (filename, onset_text, offset_text, label) in tsv_rows(_table(path, EVENT_COLUMNS), EVENT_COLUMNS):
        clip = clip_name(filename)
        clips[clip] = None
        if not (onset_text or offset_text or label):
            continue
        onset, offset = (_seconds(path, line, text) for text in (onset_text, offset_text))
        if not label:
            raise UserError(f"{path}:{line}: an event without a label")
        if offset < onset or onset < 0:
            raise UserError(f"{path}:{line}: onset {onset} and offset {offset} (0 <= onset < offset is expected)")
        if offset > onset:  # no frame is active in an event of no length; psds_eval drops them too
            events.append((line, clip, onset, offset, label))
    return events, list(clips)


def _seconds(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}:{line}: '{text}' is not a time in seconds")
    return value


def read_durations(path: str | Path) -> dict[str, float]:
    """{clip: seconds} of a durations.tsv, a clip named twice with one duration counted once."""
    path = Path(path)
    durations: dict[str, float] = {}
    for line, (filename, text) in tsv_rows(_table(path, DURATION_COLUMNS), DURATION_COLUMNS):
        seconds = _seconds(path, line, text)
        if seconds <= 0:
            raise UserError(f"{path}:{line}: duration {text} (seconds above 0 are expected)")
        clip = clip_name(filename)
        if durations.setdefault(clip, seconds) != seconds:
            raise UserError(f"{path}:{line}: {filename} has two durations, {durations[clip]} and {seconds} s")
    if not durations:
        raise UserError(f"{path}: names no clip")
    return durations


def table_of(
    path: str | Path,
    events: Sequence[tuple[int, str, float, float, str]],
    clips: Mapping[str, int],
    labels: Mapping[str, int],
) -> EventTable:
    """Index events by `clips` and `labels`, leaving out other clips; UserError for an unknown label."""
    kept = []
    for line, clip, onset, offset, label in events:
        if label not in labels:
            raise UserError(f"{path}:{line}: unknown label '{label}' (known: {', '.join(labels)}; see --labels)")
        if clip in clips:
            kept.append((clips[clip], labels[label], onset, offset))
    return EventTable.of(*zip(*kept, strict=True)) if kept else EventTable.of([], [], [], [])


def merge_overlaps(table: EventTable, *, touching: bool = False) -> tuple[EventTable, int]:
    """Join events of one clip and class that overlap (or only touch); also how many rows that took away."""
    if not len(table):
        return table, 0
    group = np.concatenate([[True], (np.diff(table.clip) != 0) | (np.diff(table.label) != 0)])
    keep = np.ones(len(table), bool)
    offset = table.offset.copy()
    last = 0
    for row in range(1, len(table)):
        joins = table.onset[row] < offset[last] or (touching and table.onset[row] == offset[last])
        if joins and not group[row]:
            offset[last] = max(offset[last], offset[row])
            keep[row] = False
        else:
            last = row
    merged = EventTable(clip=table.clip, label=table.label, onset=table.onset, offset=offset)
    return merged.where(keep), int((~keep).sum())


def write_events(path: str | Path, table: EventTable, clips: Sequence[str], labels: Sequence[str]) -> None:
    """Write detections in DESED's columns, file names with `.wav`, times in milliseconds' precision."""
    with open_replacing(path) as file:
        file.write("\t".join(EVENT_COLUMNS) + "\n")
        order = np.lexsort((table.label, table.onset, table.clip))
        for row in order:
            file.write(
                f"{clips[table.clip[row]]}.wav\t{table.onset[row]:.3f}\t{table.offset[row]:.3f}"
                f"\t{labels[table.label[row]]}\n"
            )
