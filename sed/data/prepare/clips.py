"""Long annotated recordings cut into clips of one length, which the stages after stage 0 need.

Annotations are CSV tables with one event per row, by one annotator or by several who are reconciled by majority.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from sed.data.audio import opened
from sed.data.sound_files import write_sound
from sed.data.tables import Event
from sed.errors import UserError
from sed.input_files import read_text

log = logging.getLogger("sed.cut")
SHORTEST = 1.0  # seconds; a shorter rest at a recording's end is left out instead of becoming a clip
BRIEFEST = 0.01  # seconds; a shorter part of an event within a window is left out


@dataclass(frozen=True)
class Columns:
    """Names of a CSV table's columns; annotator and status are empty if the table has no such column."""

    filename: str = "filename"
    onset: str = "onset"
    offset: str = "offset"
    label: str = "class"
    annotator: str = ""
    status: str = ""


# values of the column of review statuses -> whether such a row counts
STATUSES = {"": True, "unreviewed": True, "accepted": True, "rejected": False}


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values of `columns`) of a CSV table; raise UserError if one is missing, listing those present."""
    try:
        file = StringIO(read_text(path, "utf-8-sig"), newline="")
    except FileNotFoundError:
        raise UserError(f"{path}: no such table (is the corpus whole, and in the layout of its own README?)") from None
    with file:
        reader = csv.DictReader(file)
        for column in columns:
            if column not in (reader.fieldnames or []):
                has = ", ".join(reader.fieldnames or ["nothing"])
                raise UserError(f"{path}:1: no column '{column}' (it has {has}: its layout is not the one known here)")
        for row in reader:
            values = [(row[column] or "").strip() for column in columns]
            if not values[0]:
                raise UserError(f"{path}:{reader.line_num}: no {columns[0]} (every row needs one)")
            yield reader.line_num, values


def read_events(path: Path, columns: Columns) -> dict[str, list[Event]]:
    """Return {file name: its events} of a CSV table.

    Rows that a review rejected are dropped. If a file has rows that a review accepted, its events are these; else, with
    several annotators, the spans that at least half of the file's annotators marked (`majority`).
    """
    votes: dict[str, dict[str, list[Event]]] = {}
    reviewed: dict[str, list[Event]] = {}
    empty = 0
    optional = [column for column in (columns.annotator, columns.status) if column]
    names = [columns.filename, columns.onset, columns.offset, columns.label, *optional]
    for line, (filename, onset, offset, label, *more) in csv_rows(path, names):
        annotator = more[0] if columns.annotator else ""
        status = more[-1].lower() if columns.status else ""
        if status not in STATUSES:
            raise UserError(f"{path}:{line}: unknown review '{status}' (known: {', '.join(filter(None, STATUSES))})")
        if not STATUSES[status]:
            continue
        marked = votes.setdefault(filename, {}).setdefault(annotator, [])
        if not (onset or offset or label):  # this annotator found no events in the recording
            continue
        event = _event(path, line, onset, offset, label)
        if event.offset <= event.onset:
            empty += 1
            continue
        marked.append(event)
        if status == "accepted":
            reviewed.setdefault(filename, []).append(event)
    if empty:
        log.info("%s: %d rows whose offset is not after their onset left out", path, empty)
    return {
        filename: sorted(reviewed[filename]) if filename in reviewed else majority(list(by.values()))
        for filename, by in votes.items()
    }


def _event(path: Path, line: int, onset: str, offset: str, label: str) -> Event:
    try:
        event = Event(float(onset), float(offset), label)
    except ValueError:
        raise UserError(f"{path}:{line}: '{onset}' to '{offset}' are not times in seconds (correct the row)") from None
    if not label or not 0 <= event.onset < float("inf") or not abs(event.offset) < float("inf"):
        raise UserError(f"{path}:{line}: broken event {onset} {offset} '{label}' (correct the row)")
    return event


def majority(annotators: Sequence[Iterable[Event]]) -> list[Event]:
    """Return the spans in which at least half of the annotators marked a label, as sorted events.

    An annotator's overlapping events of one label count once.
    """
    edges: dict[str, list[tuple[float, int]]] = {}
    for events in annotators:
        by_label: dict[str, list[Event]] = {}
        for event in sorted(events):
            runs = by_label.setdefault(event.label, [])
            if runs and event.onset <= runs[-1].offset:
                runs[-1] = runs[-1]._replace(offset=max(runs[-1].offset, event.offset))
            else:
                runs.append(event)
        for label, runs in by_label.items():
            edges.setdefault(label, []).extend(edge for run in runs for edge in ((run.onset, 1), (run.offset, -1)))
    found = []
    for label, times in edges.items():
        votes, onset = 0, None
        # At equal times, starts come before ends: two annotators' events that touch join.
        for time, step in sorted(times, key=lambda edge: (edge[0], -edge[1])):
            votes += step
            if 2 * votes >= len(annotators) and onset is None:
                onset = time
            elif 2 * votes < len(annotators) and onset is not None:
                if time > onset:
                    found.append(Event(onset, time, label))
                onset = None
    return sorted(found)


def spans(seconds: float, window: float) -> list[tuple[float, float]]:
    """Return a recording's consecutive windows (start, end) in seconds.

    A last one shorter than SHORTEST is left out, unless it is the only one.

    Args:
        seconds: length of the recording.
        window: length of a window in seconds.
    """
    starts = [i * window for i in range(int(seconds / window) + 1)]
    found = [(start, min(start + window, seconds)) for start in starts]
    return [(start, end) for start, end in found if end - start >= SHORTEST] or found[:1]


def within(events: Iterable[Event], start: float, end: float) -> list[Event]:
    """Return the parts of events that lie in a window.

    Args:
        events: of the recording.
        start: of the window in seconds.
        end: of the window in seconds.

    Returns:
        Events with times relative to the window's start.
    """
    cut = [Event(max(e.onset, start) - start, min(e.offset, end) - start, e.label) for e in events]
    return [event for event in cut if event.offset - event.onset >= BRIEFEST]


def window_name(name: str, start: float, end: float) -> str:
    """Return a window's clip id in AudioSet's form, `NAME_START_END` with times in seconds to three decimals.

    Blanks in the recording's name become underscores.

    Args:
        name: of the recording.
        start: of the window in seconds.
        end: of the window in seconds.

    Returns:
        The id.
    """
    return f"{'_'.join(name.split())}_{start:.3f}_{end:.3f}"


def cut_recording(source: Path, folder: Path, *, name: str, window: float) -> list[tuple[float, float]]:
    """Write a recording's windows into `folder` as 16-bit FLAC at the recording's sample rate; existing ones are kept.

    Args:
        source: the recording; it is read block by block, in constant memory.
        folder: where the clips are written.
        name: the recording's id, with which the names of its clips begin.
        window: length of a clip in seconds.

    Returns:
        (start, end) of each window in seconds, as `spans` returns them for the samples that were read.

    Raises:
        UserError: the recording cannot be read to its end; its clips are removed again.
    """
    found: list[tuple[float, float]] = []
    written: list[Path] = []
    clipped = 0
    try:
        with opened(source, channels=True) as sound:
            for start, samples in _windows(sound.blocks, round(window * sound.rate)):
                span = start / sound.rate, (start + len(samples)) / sound.rate
                if found and span[1] - span[0] < SHORTEST:
                    break
                found.append(span)
                clipped += int((np.abs(samples) > 1).sum())
                path = folder / f"{window_name(name, *span)}.flac"
                if not path.exists():
                    write_sound(path, samples.clip(-1, 1), sound.rate)  # larger values would wrap around in 16 bits
                    written.append(path)
    except UserError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    if clipped:
        log.info("%s: %d samples beyond full scale were clipped", source, clipped)
    return found


def _windows(blocks: Iterable[np.ndarray], size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first sample, samples) of windows of `size` samples; the last may be shorter."""
    start, held, count = 0, [], 0
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= size:
            joined = np.concatenate(held)
            yield start, joined[:size]
            start, held, count = start + size, [joined[size:]], count - size
    if count:
        yield start, np.concatenate(held)


def window_events(
    events: Mapping[str, Sequence[Event]], found: Mapping[str, Sequence[tuple[float, float]]]
) -> dict[str, list[Event]]:
    """Return {clip id of a window: its events}.

    Args:
        events: {id of a recording: its events}.
        found: {id of a recording: (start, end) of its windows in seconds}.
    """
    return {
        window_name(name, start, end): within(events.get(name, []), start, end)
        for name, windows in found.items()
        for start, end in windows
    }
