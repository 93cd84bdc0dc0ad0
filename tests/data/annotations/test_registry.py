"""Label files are recognised by their content; a folder of them is one table."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from label_files import CAT, DOG, FILES, TEXTGRID, write

from sed.data.annotations.registry import label_files, recognised
from sed.data.events import by_clip, fit, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize("kind", FILES)
def test_every_format_is_recognised_and_read(tmp_path: Path, kind: str) -> None:
    name, text = FILES[kind]
    assert by_clip(read_rows(write(tmp_path, name, text))) == {"a": [DOG, CAT]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", "filepath,start,end,label\n{},0.5,1.25,Dog\n"),
        ("e.txt", "{}\t0.5\t1.25\tDog\n"),
        ("e.jsonl", '{{"file": "{}", "onset": 0.5, "offset": 1.25, "label": "Dog"}}\n'),
    ],
)
@pytest.mark.parametrize(
    ("recording", "clip"),
    [("C:\\site 1\\a.wav", "a"), ("\\\\server\\share\\a.wav", "a"), ("a\\tb.wav", "a\\tb")],
)
def test_absolute_paths_of_windows_name_their_files_and_other_backslashes_stay(
    tmp_path: Path, name: str, text: str, recording: str, clip: str
) -> None:
    written = recording.replace("\\", "\\\\") if name == "e.jsonl" else recording
    assert by_clip(read_rows(write(tmp_path, name, text.format(written)))) == {clip: [DOG]}


@pytest.mark.parametrize("kind", ["audacity", "textgrid", "elan"])
def test_utf_16_is_read(tmp_path: Path, kind: str) -> None:
    name, text = FILES[kind]
    (tmp_path / name).write_text(text.replace("Cat meow", "Katze ü").replace("UTF-8", "UTF-16"), "utf-16")
    assert by_clip(read_rows(tmp_path / name)) == {"a": [DOG, CAT._replace(label="Katze ü")]}


def test_a_folder_of_label_files_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("1\t2\tDog\n3\t3\tpoint\n")
    (tmp_path / "deep" / "c.txt").write_text("0\t99\tDog\n")
    (tmp_path / "a.TextGrid").write_text(TEXTGRID)
    (tmp_path / "._b.txt").write_bytes(b"\0\0")
    assert [path.name for path in label_files(tmp_path)] == ["a.TextGrid", "b.txt", "c.txt"]
    rows = read_rows(tmp_path)
    assert by_clip(rows) == {
        "a": [DOG, CAT],
        "b": [Event(1, 2, "Dog"), Event(3, 3, "point")],
        "c": [Event(0, 99, "Dog")],
    }
    kept, tally = fit(tmp_path, rows, dict.fromkeys("abc", 10.0))
    lines = list(tally.lines())
    assert f"{tmp_path}: 1 of 5 events of no length dropped, the first at line 2 of b.txt" in lines
    assert any(line.endswith("the first at line 1 of deep/c.txt") for line in lines)
    assert len(kept) == 4


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog,Cat\n", r"looks like a table of tags.*--tags"),
        ("d.tsv", "filename\tduration\na.wav\t10\n", r"looks like a table of durations.*--durations"),
        ("a.tsv", "onset\toffset\tDog\tCat\n0\t1\t0.5\t0.1\n", r"looks like frame scores of one clip"),
        ("r.jsonl", '{"id": 1, "sources": []}\n', r"looks like JSON or XML, but not of a known tool"),
        ("e.tsv", "something\telse\n1\t2\n", r"e.tsv:1: no column 'filename'"),
    ],
)
def test_other_files_are_refused_with_what_they_may_be(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_label_files_are_found_behind_links_and_not_in_hidden_or_unreadable_folders(
    tmp_path: Path, log_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: str, scan: Callable = os.scandir) -> Any:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may read everything
    labels, elsewhere = tmp_path / "labels", tmp_path / "elsewhere"
    for folder in (labels, elsewhere, labels / ".ipynb_checkpoints", labels / "shut"):
        folder.mkdir()
        (folder / f"{folder.name}.txt").write_text("1\t2\tdoor\n")
    (labels / "day2").symlink_to(elsewhere)
    assert set(by_clip(read_rows(labels))) == {"labels", "elsewhere"}
    assert log_lines == [f"{labels / 'shut'}: permission denied (check its owner and mode)"]


def test_an_empty_file_in_a_folder_is_a_recording_without_events(tmp_path: Path) -> None:
    (tmp_path / "monday.txt").write_text("1.0\t2.0\tdoor\n")
    (tmp_path / "tuesday.txt").write_text("")
    (tmp_path / "sunday.txt").write_text("\ufeff\r\n\n", "utf-8", newline="")  # what an editor leaves of a file
    assert by_clip(read_rows(tmp_path)) == {"monday": [Event(1, 2, "door")], "tuesday": [], "sunday": []}
    with pytest.raises(UserError):
        read_rows(tmp_path / "tuesday.txt")


def test_the_message_about_an_empty_folder_lists_the_suffixes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no label files.*\.txt"):
        read_rows(tmp_path)


def test_a_desed_table_is_no_label_file_and_left_to_the_reader_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "e.tsv"
    path.write_text("event_label\tfilename\tonset\toffset\nDog\ta.wav\t1\t2\n")
    assert recognised(path) is None
