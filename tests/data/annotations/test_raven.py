"""Raven's selection tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.txt", "Selection\tBegin Time (s)\tEnd Time (s)\tFoo\n1\t0\t1\tx\n", r"r.txt:1: no column of labels"),
        ("r.txt", "Begin Time (s)\tEnd Time (s)\tSpecies\nx\t1\tDog\n", r"r.txt:2: onset 'x'"),
        ("r.txt", "Begin Time (s)\tEnd Time (s)\tspecies\n0\t1\tDog\n2\t3\t\n", r"r.txt:3: nothing in column species"),
        ("r.txt", "Begin Time (s)\tEnd Time (s)\tspecies\n0\t1\n", r"r.txt:2: nothing in column species"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_without_a_column_of_files_the_table_belongs_to_the_recording_of_its_name(tmp_path: Path) -> None:
    text = (
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation\n1\tW\t1\t2\tDog\n1\tS\t1\t2\tDog\n2\tS\t1\t2\tCat\n"
    )
    path = write(tmp_path, "a.Table.1.selections.txt", text)
    assert by_clip(read_rows(path)) == {"a": [Event(1, 2, "Dog"), Event(1, 2, "Cat")]}


def test_selections_of_one_number_are_all_read_if_they_differ(tmp_path: Path) -> None:
    rows = ["1\tS\t1\t2\ta.wav\tDog", "1\tS\t5\t6\ta.wav\tDog", "1\tS\t1\t2\tb.wav\tCat", "1\tW\t1\t2\tb.wav\tCat"]
    text = "\n".join(["Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tAnnotation", *rows])
    found = by_clip(read_rows(write(tmp_path, "all.txt", text)))
    assert found == {"a": [Event(1, 2, "Dog"), Event(5, 6, "Dog")], "b": [Event(1, 2, "Cat")]}


def test_a_selection_of_the_same_number_and_times_but_another_label_is_another_event(tmp_path: Path) -> None:
    rows = ["1\tW\t1\t2\tDog", "1\tS\t1\t2\tDog", "1\tS\t1\t2\tCat", "1\tW\t1\t2\t"]
    text = "\n".join(["Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation", *rows])
    found = by_clip(read_rows(write(tmp_path, "a.txt", text)))
    assert found == {"a": [Event(1, 2, "Dog"), Event(1, 2, "Cat")]}


def test_decimal_commas_are_read_with_a_column_of_offsets_too(tmp_path: Path) -> None:
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tAnnotation"
    path = write(tmp_path, "all.txt", f"{header}\n1\t10,5\t11,25\ta.wav\t0,5\tDog\n")
    assert by_clip(read_rows(path)) == {"a": [Event(0.5, 1.25, "Dog")]}


def test_a_table_without_selections_or_a_column_of_files_is_a_recording_without_events(
    tmp_path: Path,
) -> None:
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies"
    assert by_clip(read_rows(write(tmp_path, "a.Table.1.selections.txt", f"{header}\n"))) == {"a": []}
    assert read_rows(write(tmp_path, "listing.txt", f"{header}\tBegin File\n")) == []


def test_a_table_of_one_recording_without_events_names_it_by_its_own_name_despite_a_column_of_files(
    tmp_path: Path,
) -> None:
    """`convert` and `predict` write such tables: without this, recordings without events were lost on the way back."""
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tAnnotation"
    assert by_clip(read_rows(write(tmp_path, "a.b.Table.1.selections.txt", f"{header}\n"))) == {"a.b": []}


def test_windows_paths_name_the_file(tmp_path: Path) -> None:
    text = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin Path\tSpecies\n1\t1\t2\tC:\\site\\a.wav\tDog\n"
    assert by_clip(read_rows(write(tmp_path, "r.txt", text))) == {"a": [Event(1, 2, "Dog")]}
