"""JAMS."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import CAT, DOG, JAMS, write

from sed.data.annotations.registry import HEAD
from sed.data.events import by_clip, read_rows
from sed.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (JAMS[:200], r"a.jams: not JSON"),
        ('{"jams_version": "0.3", "annotations": [1]}', r"no annotations with a namespace"),
        ('{"jams_version": "0.3", "annotations": []}', r"no sound events \(namespaces in it: none"),
        (JAMS.replace('"scaper"', '"beat"'), r"namespaces in it: beat; those of sound events: scaper"),
        (JAMS.replace('"duration": 0.75', '"length": 0.75'), r"observation 2 has no time and duration"),
        (JAMS.replace('"label": "Dog"', '"name": "Dog"'), r"observation 2 has no label"),
        (JAMS.replace('"time": 0.5', '"time": -0.5'), r"a.jams: observation 2 has a time of -0.5 s"),
        (JAMS.replace('"duration": 0.75', '"duration": -1'), r"a.jams: observation 2 has a duration of -1 s"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, "a.jams", text))


def test_the_background_is_not_an_event_and_labels_may_be_text(tmp_path: Path) -> None:
    text = JAMS.replace('"scaper"', '"tag_open"').replace(
        '{"label": "Dog", "role": "foreground", "event_duration": 0.9}', '"Dog"'
    )
    assert by_clip(read_rows(write(tmp_path, "a.jams", text))) == {"a": [DOG, CAT]}


def test_a_soundscape_with_only_a_background_is_a_recording_without_events(tmp_path: Path) -> None:
    assert by_clip(read_rows(write(tmp_path, "a.jams", JAMS.replace("foreground", "background")))) == {"a": []}


def test_a_long_sandbox_may_come_first(tmp_path: Path) -> None:
    text = JAMS.replace("{", '{"sandbox": {"note": "' + (HEAD - 200) * "x" + '"}, ', 1)
    assert by_clip(read_rows(write(tmp_path, "a.jams", text))) == {"a": [DOG, CAT]}


def test_keys_in_another_order_are_recognised(tmp_path: Path) -> None:
    text = '{"annotations": [{"annotation_metadata": {}, "data": [], "namespace": "scaper"}]}'
    assert by_clip(read_rows(write(tmp_path, "b.jams", text))) == {"b": []}
