"""Recordings in shards, identified by their events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paths import KIT

from sed.data.download.annotations import annotated, events_of, match
from sed.data.download.audioset import Key, Set, named


def content(*events: tuple[float, float, str]) -> bytes:
    return json.dumps([{"onset": a, "offset": b, "label": label} for a, b, label in events]).encode()


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"{",
        b"3",
        b'{"a": 1}',
        b"[1]",
        b'[{"onset": 0}]',
        b"[" * 100_000,
        b'[{"onset":1e999,"offset":1,"label":"x"}]',
    ],
)
def test_json_that_is_not_a_list_of_events_gives_no_events(other: bytes) -> None:
    assert events_of(other) == frozenset()
    assert events_of(content((1.0004, 8.19, "Cat"), (8.19, 9, "Dog"))) == {(1000, 8190, "Cat"), (8190, 9000, "Dog")}


def test_events_that_two_names_in_a_shard_have_match_no_recording() -> None:
    one, two = frozenset({(0, 1000, "Cat")}), frozenset({(0, 2000, "Cat")})
    known = {one: Key("a" * 11, 0), two: Key("b" * 11, 0)}
    assert match({"x": one, "y": two, "z": two, "w": frozenset()}, known) == {"x": Key("a" * 11, 0)}


def test_clips_are_known_by_their_events_unless_two_have_the_same(tmp_path: Path) -> None:
    ids = ["a" * 11, "b" * 11, "c" * 11]
    names = [f"Y{video}_8.000_18.000.wav" for video in ids]
    rows = [(names[0], "8.19", "9.1", "Cat"), (names[0], "1", "2", "Dog")]
    rows += [(name, "0", "1", "Cat") for name in names[1:]]
    strong, weak = tmp_path / "strong.tsv", tmp_path / "weak.tsv"
    text = "\n".join("\t".join(row) for row in [("filename", "onset", "offset", "event_label"), *rows])
    strong.write_text(text, encoding="utf-8-sig")  # with a byte order mark, like Excel's
    weak.write_text(f"filename\tevent_labels\n{names[0]}\tCat\n")
    sets = [Set(path, tmp_path, {name: named(name) for name in names}) for path in (strong, weak)]
    assert annotated(sets) == {frozenset({(8190, 9100, "Cat"), (1000, 2000, "Dog")}): Key(ids[0], 8000)}


# KIT is the development kit, with DESED's own metadata (the folder in SED_KIT, see paths.py).
@pytest.mark.skipif(not (KIT / "desed_metadata").is_dir(), reason="no kit with the real metadata")
def test_most_real_validation_clips_have_unique_events(tmp_path: Path) -> None:
    path = KIT / "desed_metadata" / "validation.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    clips: dict[str, list[tuple[float, float, str]]] = {}
    for name, *event in rows:
        clips.setdefault(name, [])
        if event[0]:
            clips[name].append((float(event[0]), float(event[1]), event[2]))
    found = annotated([Set(path, tmp_path, {name: named(name) for name in clips})])
    matched = match({name: events_of(content(*events)) for name, events in clips.items()}, found)
    # of 1168 clips
    assert len(matched) > 800 and all(named(name) == key for name, key in matched.items())
