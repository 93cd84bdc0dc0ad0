"""Recordings whose key in a shard says nothing, found by their annotations: the one clip that has exactly those events.

Webdataset tars have a .json of {onset, offset, label} rows beside each recording. A list of events that two clips of
the metadata have, or two keys of the shard, matches none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sed.data.download.audioset import Key, Set
from sed.data.events import read_rows
from sed.data.tables import audio_stem

Events = frozenset[tuple[int, int, str]]
"""onsets and offsets in milliseconds, and labels"""


def events_of(content: bytes) -> Events:
    """Return the events that a shard's .json lists; none where it is anything else."""
    try:
        return frozenset(
            (round(1000 * float(one["onset"])), round(1000 * float(one["offset"])), str(one["label"]))
            for one in json.loads(content)
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return frozenset()


def annotated(sets: Iterable[Set]) -> dict[Events, Key]:
    """Return {events: the recording that alone has them} of the sets with events in their metadata."""
    found: dict[Events, set[Key]] = {}
    for one in sets:
        if "onset" not in _header(one.metadata):
            continue
        clips: dict[str, set[tuple[int, int, str]]] = {}
        for row in read_rows(one.metadata):
            if row.event is not None:
                times = round(1000 * row.event.onset), round(1000 * row.event.offset)
                clips.setdefault(row.clip, set()).add((*times, row.event.label))
        keys = {audio_stem(name): key for name, key in one.names.items()}
        for clip, events in clips.items():
            found.setdefault(frozenset(events), set()).add(keys[clip])
    return {events: next(iter(keys)) for events, keys in found.items() if len(keys) == 1}


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\n").split("\t")


def match(described: Mapping[str, Events], known: Mapping[Events, Key]) -> dict[str, Key]:
    """Return {key in a shard: its recording} of the keys whose events one clip alone has, and no other key."""
    by_events: dict[Events, list[str]] = {}
    for name, events in described.items():
        by_events.setdefault(events, []).append(name)
    return {names[0]: known[events] for events, names in by_events.items() if len(names) == 1 and events in known}
