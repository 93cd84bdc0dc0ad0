"""Label Studio's exports."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from label_files import CAT, DOG, LABEL_STUDIO, LABEL_STUDIO_MIN, write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.json", "[1, 2]", r"task 1 is no object"),
        ("e.json", '[{"data": {"text": "x"}, "annotations": []}]', r"task 1 names no audio"),
        ("e.json", '[{"data": {"audio": ""}, "annotations": []}]', r"task 1 names no audio"),
        (
            "e.json",
            '{"audio_file": "a.wav", "annotations": [{"start_time": 1}]}',
            r"task 1: its annotations or predictions are not a list",
        ),
        (
            "e.json",
            '{"data": {"audio": "a.wav"}, "annotations": 3}',
            r"task 1: its annotations or predictions are not a list",
        ),
        (
            "e.json",
            '{"data": {"audio": "a.wav"}, "annotations": [3]}',
            r"task 1: its annotations or predictions are not a list",
        ),
        (
            "e.json",
            '{"data": {"audio": "a.wav"}, "annotations": [{"result": 3}]}',
            r"task 1: its annotations or predictions are not a list",
        ),
        (
            "e.json",
            '{"data": {"audio": "a.wav"}, "annotations": [{"result": [3]}]}',
            r"task 1: its annotations or predictions are not a list",
        ),
        ("e.json", '[{"filename": "a.wav", "id": 1, "start": 1, "end": 2, "label": "x"}]', r"object 1 .* JSON lines"),
        ("e.json", '[{"file": "a.wav", "t0": 1, "t1": 2, "species": "x"}]', r"object 1 .* JSON lines"),
        ("e.json", "[" * 100_000, r"not JSON"),
        ("e.json", LABEL_STUDIO.replace('"start": 2', '"start": "2"'), r"without a start and an end"),
        ("e.json", LABEL_STUDIO.replace('["Cat meow"]', "[]"), r"region without a label"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_annotations_that_are_left_out_are_counted(tmp_path: Path, log_lines: list[str]) -> None:
    rows = by_clip(read_rows(write(tmp_path, "e.json", LABEL_STUDIO)))
    assert rows == {"a": [DOG, CAT]}
    assert log_lines == [f"{tmp_path / 'e.json'}: 1 further annotations of tasks that have several were left out"]


def test_each_label_of_a_region_is_an_event_and_notes_about_it_are_not(tmp_path: Path) -> None:
    note = '{"id": "r1", "type": "textarea", "value": {"start": 0.5, "end": 1.25, "text": ["barks"]}}'
    region = '{"id": "r1", "type": "labels", "value": {"start": 0.5, "end": 1.25, "labels": ["Dog", "Animal"]}}'
    text = '[{"data": {"clip": "a.flac"}, "annotations": [{"result": [' + note + ", " + region + "]}]}]"
    assert by_clip(read_rows(write(tmp_path, "e.json", text))) == {"a": [DOG, DOG._replace(label="Animal")]}
    with pytest.raises(UserError, match="region without a label"):
        read_rows(write(tmp_path, "e.json", text.replace('["Dog", "Animal"]', "[]")))


def test_only_the_first_prediction_of_a_task_is_read(tmp_path: Path) -> None:
    regions = [{"type": "labels", "value": {"start": 0.5, "end": 1.25, "labels": ["Dog"]}}]
    task = {"data": {"audio": "a.wav"}, "predictions": [{"result": regions, "score": 0.5}, {"result": []}]}
    assert by_clip(read_rows(write(tmp_path, "e.json", json.dumps([task])))) == {"a": [DOG]}


def test_a_name_that_is_not_a_valid_url_is_read(tmp_path: Path) -> None:
    address = "//[a.wav"
    with pytest.raises(ValueError, match="Invalid IPv6 URL"):
        urlsplit(address)
    task = {"data": {"audio": address}, "annotations": [{"result": []}]}
    assert by_clip(read_rows(write(tmp_path, "e.json", json.dumps([task])))) == {"[a": []}


@pytest.mark.parametrize(
    ("address", "clip"),
    [
        ("/data/upload/3/0a1b2c3d-20240131-0830.wav", "20240131-0830"),
        ("https://host/ls/data/upload/3/0a1b2c3d-a.wav?token=1", "a"),
        ("upload/3/0a1b2c3d-a%20b.wav", "a b"),
        ("/data/local-files/?d=site/20240131-0830.wav", "20240131-0830"),
        ("/data/local-files/?d=site%5Ca.wav", "a"),
        ("s3://bucket/3f2504e0-4f89-41d3-9a0c-0305e82c3301.wav", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("20240131-0830.wav", "20240131-0830"),
    ],
)
def test_only_uploaded_files_lose_the_prefix_of_label_studio(tmp_path: Path, address: str, clip: str) -> None:
    task = {"data": {"audio": address}, "annotations": [{"result": []}]}
    assert by_clip(read_rows(write(tmp_path, "e.json", json.dumps([task])))) == {clip: []}


def test_notes_about_regions_in_json_min_are_not_events(tmp_path: Path) -> None:
    text = LABEL_STUDIO_MIN.replace('"label":', '"note": [{"start": 0.5, "end": 1.25, "text": ["barks"]}], "label":')
    assert by_clip(read_rows(write(tmp_path, "e.json", text))) == {"a": [DOG, CAT]}


def test_regions_of_all_controls_with_labels_are_read_from_json_min(tmp_path: Path) -> None:
    regions = {
        "dogs": [{"start": 0.5, "end": 1.25, "labels": ["Dog"]}],
        "cats": [{"start": 2, "end": 3, "labels": ["Cat"]}],
    }
    text = json.dumps([{"audio": "a.wav", **regions}])
    assert by_clip(read_rows(write(tmp_path, "e.json", text))) == {"a": [DOG, Event(2.0, 3.0, "Cat")]}


def test_of_several_annotations_of_a_task_in_json_min_the_first_is_read(tmp_path: Path, log_lines: list[str]) -> None:
    tasks = [
        {"audio": "a.wav", "id": 1, "annotation_id": 7, "label": [{"start": 0.5, "end": 1.25, "labels": ["Dog"]}]},
        {"audio": "a.wav", "id": 1, "annotation_id": 8, "label": [{"start": 0.6, "end": 1.2, "labels": ["Dog"]}]},
        {"audio": "b.wav", "id": 2, "annotation_id": 9, "label": []},
    ]
    path = write(tmp_path, "e.json", json.dumps(tasks))
    assert by_clip(read_rows(path)) == {"a": [DOG], "b": []}
    assert log_lines == [f"{path}: 1 further annotations of tasks that have several were left out"]


def test_a_task_without_regions_is_a_recording_without_events(tmp_path: Path) -> None:
    text = '[{"data": {"audio": "s3://bucket/a%20b.wav"}, "annotations": [{"result": []}]}]'
    assert by_clip(read_rows(write(tmp_path, "e.json", text))) == {"a b": []}


def test_a_task_that_nobody_has_labelled_is_not_a_recording_without_events(
    tmp_path: Path, log_lines: list[str]
) -> None:
    tasks = [
        {"data": {"audio": "a.wav"}, "annotations": []},
        {"data": {"audio": "b.wav"}, "annotations": [{"was_cancelled": True, "result": []}]},
        {"data": {"audio": "c.wav"}, "annotations": [{"was_cancelled": True, "result": []}, {"result": []}]},
        {"data": {"audio": "d.wav"}},
        {"data": {"audio": "e.wav"}, "predictions": []},
        {"data": {"audio": "f.wav"}, "predictions": [{"result": []}]},
    ]
    path = write(tmp_path, "e.json", json.dumps(tasks))
    assert by_clip(read_rows(path)) == {"c": [], "f": []}
    assert log_lines == [f"{path}: 4 tasks that are not labelled yet, or were skipped, were left out"]


def test_a_message_names_the_task_of_a_recording_without_events(tmp_path: Path) -> None:
    tasks = [{"data": {"audio": name}, "annotations": [{"result": []}]} for name in ("a.wav", "b.wav", "a.flac")]
    with pytest.raises(UserError, match=r"e.json:3: a.flac and a.wav are both clip 'a'"):
        read_rows(write(tmp_path, "e.json", json.dumps(tasks)))


def test_names_are_decoded_once(tmp_path: Path) -> None:
    tasks = [
        {"data": {"audio": address}, "annotations": [{"result": []}]}
        for address in ("/data/?d=x/a%2520b.wav", "s3://x/a%2521b.wav")
    ]
    assert by_clip(read_rows(write(tmp_path, "e.json", json.dumps(tasks)))) == {"a%20b": [], "a%21b": []}


def test_ids_of_any_type_connect_notes_with_regions(tmp_path: Path) -> None:
    note, region = {"start": 0.5, "end": 1.25, "text": ["barks"]}, {"start": 0.5, "end": 1.25, "labels": ["Dog"]}
    results = [{"id": [1], "value": note}, {"id": [1], "value": region}]
    task = {"data": {"audio": "a.wav"}, "annotations": [{"result": results}]}
    assert by_clip(read_rows(write(tmp_path, "e.json", json.dumps([task])))) == {"a": [DOG]}
