"""Long annotated recordings cut into clips of one length, which a recipe's stages after stage 0 need.

Annotations are CSV tables with one event per row, by one annotator or by several (`sed.data.prepare.aggregation`). A
window is the span of a recording that becomes a clip.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from sed.data.audio import opened
from sed.data.prepare.aggregation import Annotations
from sed.data.soft_events import parts_within
from sed.data.sound_files import write_sound
from sed.data.tables import Event
from sed.errors import UserError
from sed.input_files import read_text

log = logging.getLogger("sed.cut")
SHORTEST = 1.0  # seconds (our choice); a shorter rest at a recording's end is left out instead of becoming a clip
BRIEFEST = 0.01  # seconds (our choice); a shorter part of an event within a window is left out
_WINDOW = re.compile(r"(.+)_(\d+\.\d{3})_(\d+\.\d{3})")  # clip ids as `window_name` makes them


@dataclass(frozen=True)
class Columns:
    """Names of a CSV table's columns; the last three are empty if the table has no such column.

    status: the column has the status of the event's review, a key of STATUSES; collector: the column is "true" if the
    annotator made the recording.
    """

    filename: str = "filename"
    onset: str = "onset"
    offset: str = "offset"
    label: str = "class"
    annotator: str = ""
    status: str = ""
    collector: str = ""


# value of the column `status`, in lower case -> whether the row is read, else left out
STATUSES = {"": True, "unreviewed": True, "accepted": True, "rejected": False}


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values of `columns`) of a CSV table.

    In the first column, which names the recording, no field may be empty, or have a tab or a line end.
    Raises UserError if the table or a column is missing, or a row is broken.
    """
    try:
        file = StringIO(read_text(path, "utf-8-sig"), newline="")
    except FileNotFoundError:
        raise UserError(f"{path}: no such table (is the corpus whole, and in the layout of its own README?)") from None
    with file:
        reader = csv.DictReader(file)
        try:
            for column in columns:
                if column not in (reader.fieldnames or []):
                    has = " ".join(", ".join(reader.fieldnames or ["nothing"]).split())[:200]
                    raise UserError(
                        f"{path}:1: no column '{column}' (it has {has}: its layout is not the one known here)"
                    )
            for row in reader:
                values = [(row[column] or "").strip() for column in columns]
                if not values[0]:
                    raise UserError(f"{path}:{reader.line_num}: no {columns[0]} (every row needs one)")
                _check_field(f"{path}:{reader.line_num}", columns[0], values[0])
                if None in row:  # where DictReader puts surplus fields
                    raise UserError(
                        f"{path}:{reader.line_num}: more fields than columns (quote a field that holds a comma)"
                    )
                yield reader.line_num, values
        except csv.Error as error:
            first = reader.line_num + 1  # of the broken row: line_num is that of the last whole one
            raise UserError(f"{path}:{first}: {error} (look for a quotation mark without its pair)") from None


def _check_field(where: str, name: str, value: str) -> None:
    """Raise UserError for a field with a tab or a line end: our TSVs cannot hold it, and it may have swallowed rows."""
    if any(mark in value for mark in "\t\r\n"):
        raise UserError(
            f"{where}: a tab or a line end in {name} {value[:40]!r} (look for a quotation mark without its pair)"
        )


def read_annotations(path: Path, columns: Columns) -> dict[str, Annotations]:
    """Return {file name of a recording: its annotations} of a CSV table, without the rows that a review rejected.

    If the table has no column of annotators, all rows belong to one annotator, called "". Without one of review
    statuses, no row was reviewed. A recording of which all rows were rejected is left out.
    """
    found: dict[str, Annotations] = {}
    empty = 0
    optional = [column for column in (columns.annotator, columns.status, columns.collector) if column]
    names = [columns.filename, columns.onset, columns.offset, columns.label, *optional]
    for line, values in csv_rows(path, names):
        for name, field in zip(names, values, strict=True):
            _check_field(f"{path}:{line}", name, field)
        filename, onset, offset, label, *more = values
        value = dict(zip(optional, more, strict=True))
        annotator, status = value.get(columns.annotator, ""), value.get(columns.status, "").lower()
        if status not in STATUSES:
            raise UserError(f"{path}:{line}: unknown review '{status}' (known: {', '.join(filter(None, STATUSES))})")
        if not STATUSES[status]:
            continue
        own = found.setdefault(filename, Annotations())
        marked = (own.accepted if status == "accepted" else own.unreviewed).setdefault(annotator, [])
        if value.get(columns.collector, "").lower() == "true":
            own.collectors.add(annotator)
        if not (onset or offset or label):  # this annotator found no events in the recording
            continue
        event = _event(path, line, onset, offset, label)
        if event.offset <= event.onset:
            empty += 1
            continue
        marked.append(event)
    if empty:
        log.info("%s: %d rows whose offset is not after their onset left out", path, empty)
    return found


def _event(path: Path, line: int, onset: str, offset: str, label: str) -> Event:
    try:
        event = Event(float(onset), float(offset), label)
    except ValueError:
        raise UserError(f"{path}:{line}: '{onset}' to '{offset}' are not times in seconds (correct the row)") from None
    if not label or not 0 <= event.onset < math.inf or not math.isfinite(event.offset):
        raise UserError(f"{path}:{line}: broken event {onset} {offset} '{label}' (correct the row)")
    return event


def spans(seconds: float, window: float) -> list[tuple[float, float]]:
    """Return a recording's consecutive windows (start, end) in seconds.

    The last one may be shorter than the others; if it is shorter than SHORTEST, it is left out, unless it is the only
    one.

    Args:
        seconds: length of the recording.
        window: length of a window in seconds.
    """
    starts = [i * window for i in range(int(seconds / window) + 1)]
    found = [(start, min(start + window, seconds)) for start in starts]
    return [(start, end) for start, end in found if end - start >= SHORTEST] or found[:1]


def within(events: Iterable[Event], start: float, end: float) -> list[Event]:
    """Return the parts of events that lie in a window, without those shorter than BRIEFEST.

    Args:
        events: events of the recording.
        start: start of the window in the recording, in seconds.
        end: end of the window in the recording, in seconds.

    Returns:
        Events with times relative to the window's start.
    """
    return [event for event in parts_within(events, start, end) if event.offset - event.onset >= BRIEFEST]


def window_name(name: str, start: float, end: float) -> str:
    """Return a window's clip id in AudioSet's form, `NAME_START_END` with times in seconds to three decimals.

    Blanks in the recording's name become underscores.

    Args:
        name: the recording's id.
        start: start of the window in seconds.
        end: end of the window in seconds.

    Returns:
        The clip id.
    """
    return f"{'_'.join(name.split())}_{start:.3f}_{end:.3f}"


def recording_of(clip: str) -> tuple[str, float, float] | None:
    """Return (recording's id, start, end) of a clip id that `window_name` made; None for others."""
    found = _WINDOW.fullmatch(clip)
    return (found[1], float(found[2]), float(found[3])) if found else None


def cut_recording(
    source: Path, folder: Path, *, name: str, window: float, hop: float | None = None
) -> list[tuple[float, float]]:
    """Write a recording's windows into `folder` as 16-bit FLAC at its sample rate.

    A clip gets the recording's time of modification; one that exists with this time is kept. A comparison of which is
    newer would keep the clips of a recording that an older file has replaced.

    Args:
        source: the recording; it is read block by block, in constant memory.
        folder: where the clips are written.
        name: the recording's id, with which the names of its clips begin.
        window: length of a clip in seconds.
        hop: seconds from the start of a clip to that of the next, at most `window`; None: `window`.

    Returns:
        (start, end) of each window in seconds. With the default hop they are what `spans` returns for a recording of
        the length that was read, but for the rounding of `window` to whole samples.

    Raises:
        UserError: the recording cannot be read to its end; the clips that this call has written are removed again.
    """
    found: list[tuple[float, float]] = []
    written: list[Path] = []
    clipped = 0  # number of samples beyond full scale
    counted = 0  # end of the samples that `clipped` covers, since clips may overlap
    changed = source.stat().st_mtime_ns if source.exists() else 0  # `opened` refuses a missing one
    try:
        with opened(source, channels=True) as sound:
            size = round(window * sound.rate)
            for start, samples in _windows(sound.blocks, size, size if hop is None else round(hop * sound.rate)):
                span = start / sound.rate, (start + len(samples)) / sound.rate
                if found and len(samples) < SHORTEST * sound.rate:
                    break
                found.append(span)
                path = folder / f"{window_name(name, *span)}.flac"
                if not path.exists() or path.stat().st_mtime_ns != changed:
                    write_sound(path, samples.clip(-1, 1), sound.rate)
                    os.utime(path, ns=(changed, changed))
                    written.append(path)
                    clipped += int((np.abs(samples[max(0, counted - start) :]) > 1).sum())
                    counted = start + len(samples)
    except UserError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    if clipped:
        log.info("%s: %d samples beyond full scale were clipped", source, clipped)
    return found


def _windows(blocks: Iterable[np.ndarray], size: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of the first sample, samples) of windows of `size` samples, `hop` samples apart.

    Windows that reach beyond the recording's end are shorter; with a hop below `size` there may be several. Samples are
    as in `blocks`: (samples, channels), or (samples,) of a recording that was mixed to mono.
    """
    start, held, count = 0, [], 0  # of the next window: its first sample, the blocks read for it, their samples
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= size:
            joined = np.concatenate(held)
            yield start, joined[:size]
            start, held, count = start + hop, [joined[hop:]], count - hop
    while count > 0:
        joined = np.concatenate(held)
        yield start, joined
        start, held, count = start + hop, [joined[hop:]], count - hop


def window_events(
    events: Mapping[str, Sequence[Event]], found: Mapping[str, Sequence[tuple[float, float]]]
) -> dict[str, list[Event]]:
    """Return {clip id of a window: its events}, with times from the window's start.

    Args:
        events: {id of a recording: its events}.
        found: {id of a recording: (start, end) of its windows in seconds}, both ascending.
    """
    brief = [name for name in found for event in events.get(name, []) if event.offset - event.onset < BRIEFEST]
    if brief:
        log.warning("%d events shorter than %g s left out, the first in %s", len(brief), BRIEFEST, brief[0])
    cut: dict[str, list[Event]] = {}
    for name, windows in found.items():
        starts, ends = ([window[side] for window in windows] for side in (0, 1))
        parts: list[list[Event]] = [[] for _ in windows]
        for event in events.get(name, []):
            for index in range(bisect_right(ends, event.onset), bisect_left(starts, event.offset)):
                parts[index] += within([event], *windows[index])
        cut |= {window_name(name, *window): own for window, own in zip(windows, parts, strict=True)}
    return cut


def warn_of_late_events(
    events: Mapping[str, Sequence[Event]], found: Mapping[str, Sequence[tuple[float, float]]]
) -> None:
    """Warn of events that are in no window (see `window_events`), since they begin too late.

    That is after the recording's last window, or less than BRIEFEST before its end.
    """
    ends = {name: windows[-1][1] for name, windows in found.items() if windows}
    late = [name for name, end in ends.items() for event in events.get(name, []) if event.onset > end - BRIEFEST]
    if late:
        log.warning(
            "%d of %d events left out, the first in %s: they begin beyond the recording, or in its rest of under %g s, "
            "which is no clip (are the times in seconds?)",
            *(len(late), sum(len(events.get(name, [])) for name in found), late[0], SHORTEST),
        )
