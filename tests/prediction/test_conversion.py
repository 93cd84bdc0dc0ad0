"""Events survive every format that is written and read: random events, names and labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid
from tiny_model import call

from sed.bin import convert
from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError
from sed.prediction.conversion import in_one_file, one_file_each

TOGETHER = ["tsv", "jsonl", "events-tsv", "events-csv"]
APART = ["audacity", "raven", "textgrid", "labelstudio"]
LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
SPANS = st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 900)), max_size=5)


@st.composite
def recordings(draw: st.DrawFn) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for name in draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True)):
        events = {Event(on / 1000, (on + length) / 1000, draw(LABELS)) for on, length in draw(SPANS)}
        found[f"{name}.wav"] = sorted(events)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("name", TOGETHER)
@given(recordings())
@settings(max_examples=30, deadline=None)
def test_events_in_one_file_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, events: dict[str, list[Event]]
) -> None:
    path = tmp_path_factory.mktemp("out") / "all.txt"
    path.write_text(in_one_file(events, name), encoding="utf-8")
    assert by_clip(read_rows(path)) == {clip[:-4]: sorted(of_clip) for clip, of_clip in events.items()}


@pytest.mark.thorough
@pytest.mark.parametrize("name", APART)
@given(recordings())
@settings(max_examples=30, deadline=None)
def test_events_in_a_file_each_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, events: dict[str, list[Event]]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    for file, text in one_file_each({clip: of for clip, of in events.items() if of}, name).items():
        (folder / file).write_text(text, encoding="utf-8")
    found = by_clip(read_rows(folder)) if any(folder.iterdir()) else {}
    assert {clip: sorted(of) for clip, of in found.items()} == {
        clip[:-4]: sorted(of_clip) for clip, of_clip in events.items() if of_clip
    }


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(recordings())
@settings(max_examples=30, deadline=None)
def test_subtitles_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, events: dict[str, list[Event]]
) -> None:
    folder = tmp_path_factory.mktemp("out")
    for clip, of_clip in events.items():
        path = folder / f"{clip[:-4]}.{name}"
        path.write_text(in_one_file({clip: of_clip}, name), encoding="utf-8")
        assert not of_clip or by_clip(read_rows(path)) == {clip[:-4]: sorted(of_clip)}


def test_another_reader_of_grids_agrees_and_what_overlaps_is_in_several_tiers(tmp_path: Path) -> None:
    events = [Event(0.0, 1.5, 'a "b"'), Event(1.0, 2.0, "c"), Event(3.0, 4.0, "c"), Event(1.5, 2.5, "c")]
    (tmp_path / "x.TextGrid").write_text(one_file_each({"x.wav": events}, "textgrid")["x.TextGrid"])
    grid = textgrid.openTextgrid(str(tmp_path / "x.TextGrid"), includeEmptyIntervals=False)
    assert [(e.start, e.end, e.label) for tier in grid.tiers for e in tier.entries] == [tuple(e) for e in events]
    assert grid.tierNames == ('a "b"', "c", "c 2")


def test_label_studio_takes_the_task_as_a_prediction() -> None:
    (text,) = one_file_each({"a.wav": [Event(1.0, 2.0, "Dog")]}, "labelstudio").values()
    (task,) = json.loads(text)
    assert task["data"] == {"audio": "a.wav"}
    (region,) = task["predictions"][0]["result"]
    assert region["value"] == {"start": 1.0, "end": 2.0, "channel": 0, "labels": ["Dog"]}
    assert "score" not in region  # no number: JSON has no NaN
    assert (region["type"], region["from_name"], region["to_name"]) == ("labels", "label", "audio")


def test_subtitles_are_numbered_and_tables_have_times_of_day() -> None:
    events = {"20260501_235959.wav": [Event(0.5, 2.0, "Dog")]}
    assert in_one_file(events, "srt") == "1\n00:00:00,500 --> 00:00:02,000\nDog\n"
    (row,) = csv.DictReader(in_one_file(events, "events-csv").splitlines())
    assert (row["start_time"], row["end_time"]) == ("2026-05-01T23:59:59.500", "2026-05-02T00:00:01.000")


def test_a_format_of_one_recording_wants_a_folder() -> None:
    with pytest.raises(UserError, match=r"^--to raven: .*--out-dir"):
        in_one_file({"a.wav": [], "b.wav": []}, "raven")


def test_the_command_converts_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("1\t2\tDog\n")
    assert call(convert, tmp_path / "in") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["a\t1.000\t2.000\tDog"]
    assert call(convert, tmp_path / "in", "--out", "-") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["a\t1.000\t2.000\tDog"]
    assert call(convert, tmp_path / "in", "--to", "raven", "--out-dir", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.Table.1.selections.txt"]
    assert call(convert, tmp_path / "missing") == 2


@pytest.mark.parametrize("output", [["--out", "in/all.tsv"], ["--out-dir", "in/out"]])
def test_a_second_run_does_not_read_what_the_first_wrote_below_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "site.csv").write_text("filename,onset,offset,label\na,1,2,Dog\n")
    written = []
    for _ in range(2):
        assert call(convert, "in", *output) == 0
        written.append({path: path.read_text() for path in (tmp_path / "in").rglob("*.tsv")})
    assert written[0] == written[1] and len(written[0]) == 1


def test_the_folder_that_is_read_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "site.csv").write_text("filename,onset,offset,label\na,1,2,Dog\n")
    assert call(convert, "in", "--out-dir", "in/../in") == 2
    assert "--out-dir in/../in: the folder that is read" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["site.csv"]


@pytest.mark.parametrize("output", [["--out", "in/only.tsv"], ["--out-dir", "in/below"]])
def test_labels_that_are_all_in_the_output_are_not_replaced_by_an_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    only = tmp_path / ("in/only.tsv" if "--out" in output else "in/below/only.tsv")
    only.parent.mkdir(parents=True)
    only.write_text("filename\tonset\toffset\tevent_label\na.wav\t1\t2\tDog\n")
    before = only.read_text()
    assert call(convert, "in", *output) == 2
    assert "in: no label files but outputs" in capsys.readouterr().err
    assert only.read_text() == before


def test_a_table_is_not_replaced_by_the_events_of_the_recording_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "site.tsv"
    table.write_text("filename\tonset\toffset\tevent_label\tnote\nsite.wav\t1\t2\tDog\tfar\nother.wav\t1\t2\tDog\t\n")
    before = table.read_text()
    assert call(convert, table, "--out-dir", tmp_path) == 2
    assert "site.tsv: an input, which would be overwritten (write to another file or folder)" in capsys.readouterr().err
    assert table.read_text() == before and not (tmp_path / "other.tsv").exists()


def test_a_table_is_not_replaced_by_its_own_events_without_its_further_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "site.tsv"
    table.write_text("filename\tonset\toffset\tevent_label\tnote\nsite.wav\t1\t2\tDog\tfar\n")
    (tmp_path / "link.tsv").symlink_to(table)
    before = table.read_text()
    for out in ("site.tsv", "link.tsv"):
        assert call(convert, table, "--out", tmp_path / out) == 2
        assert f"{out}: an input, which would be overwritten" in capsys.readouterr().err
        assert table.read_text() == before


def test_events_that_are_read_twice_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """URBAN-SED has a .txt and a .jams of each recording in one folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("1\t2\tDog\n3\t4\tDog\n")
    assert call(convert, tmp_path / "in", "--out", tmp_path / "one.tsv") == 0
    assert "repeated" not in capsys.readouterr().err
    (tmp_path / "in" / "a.csv").write_text("filename,onset,offset,label\na,1,2,Dog\n")
    assert call(convert, tmp_path / "in", "--out", tmp_path / "two.tsv") == 0
    assert "in: 1 events are repeated, the first in a, and written as often" in capsys.readouterr().err
    assert len((tmp_path / "two.tsv").read_text().splitlines()) == 4


def test_labels_are_read_from_below_the_folder_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("1\t2\tDog\n")
    for _ in range(2):
        assert call(convert, tmp_path / "in", "--out-dir", tmp_path) == 0
        assert (tmp_path / "a.tsv").read_text().splitlines()[1:] == ["a\t1.000\t2.000\tDog"]


def test_events_without_length_are_points_of_a_textgrid(tmp_path: Path) -> None:
    events = [Event(0.0, 0.0, "cat"), Event(1.0, 1.0, "dog"), Event(1.0, 2.0, "dog"), Event(2.0, 2.0, "dog")]
    path = tmp_path / "x.TextGrid"
    path.write_text(in_one_file({"x.wav": events}, "textgrid"))
    tiers = {tier.name: [tuple(entry) for entry in tier.entries] for tier in textgrid.openTextgrid(str(path), False)}
    assert tiers == {"cat": [(0.0, "cat")], "dog": [(1.0, 2.0, "dog")], "dog 2": [(1.0, "dog"), (2.0, "dog")]}
    assert sorted(by_clip(read_rows(path))["x"]) == events


@pytest.mark.parametrize("name", ["tsv", "raven"])
def test_a_recording_s_name_with_tab_line_end_or_broken_bytes_is_one_field(name: str) -> None:
    text = in_one_file({"a\tb\nc\udcff.wav": [Event(0.5, 1.0, "dog")]}, name)
    header, row = text.encode().decode().splitlines()
    assert row.count("\t") == header.count("\t") and "a\\tb\\nc\\udcff.wav" in row.split("\t")
