"""Identification of recordings in a shard by their annotations, if their names in it do not contain a YouTube id.

Webdataset tars may have a .json of {onset, offset, label} rows beside each recording. It identifies the clip that has
exactly these events in the metadata, unless two clips or two names have the same events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sed.data.download.audioset import Key, Set
from sed.data.events import read_rows
from sed.data.tables import audio_stem

Events = frozenset[tuple[int, int, str]]
"""(onset, offset, label) of each event, times in milliseconds"""


def events_of(content: bytes) -> Events:
    """Return the events in a .json of a shard; none if it is something else."""
    try:
        return frozenset(
            (round(1000 * float(row["onset"])), round(1000 * float(row["offset"])), str(row["label"]))
            for row in json.loads(content)
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return frozenset()


def annotated(sets: Iterable[Set]) -> dict[Events, Key]:
    """Return {events: recording} of the sets with events in their metadata, except events that two recordings share."""
    found: dict[Events, set[Key]] = {}
    for a_set in sets:
        if "onset" not in _header(a_set.metadata):
            continue
        clips: dict[str, set[tuple[int, int, str]]] = {}
        for row in read_rows(a_set.metadata):
            if row.event is not None:
                times = round(1000 * row.event.onset), round(1000 * row.event.offset)
                clips.setdefault(row.clip, set()).add((*times, row.event.label))
        recordings = {audio_stem(name): key for name, key in a_set.names.items()}
        for clip, events in clips.items():
            found.setdefault(frozenset(events), set()).add(recordings[clip])
    return {events: next(iter(keys)) for events, keys in found.items() if len(keys) == 1}


def _header(path: Path) -> list[str]:
    """Return the names of a table's columns."""
    with path.open(encoding="utf-8-sig") as file:
        return file.readline().rstrip("\n").split("\t")


def match(described: Mapping[str, Events], known: Mapping[Events, Key]) -> dict[str, Key]:
    """Identify the recordings of a shard by their events.

    Args:
        described: {name in a shard: its events}.
        known: {events: recording}, from `annotated`.

    Returns:
        {name in the shard: recording}; names with the same events as another one are left out.
    """
    by_events: dict[Events, list[str]] = {}
    for name, events in described.items():
        by_events.setdefault(events, []).append(name)
    return {names[0]: known[events] for events, names in by_events.items() if len(names) == 1 and events in known}
