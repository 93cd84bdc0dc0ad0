"""Tables by the names of their columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import write

from sed.data.events import Row, by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "file,start,end,label\na.wav,x,2,Dog\n", r"l.csv:2: onset 'x' is not a number"),
        ("l.csv", "file,start,end,zeep\na.wav,1,2,1\n", r"l.csv:1: no column of labels \(the header has file, start"),
        ("l.csv", "file,start,end,label\n,1,2,Dog\n", r"l.csv:2: no file name"),
        ("l.csv", "file,start,end,label\na.wav,1,2,Dog,more\n", r"l.csv:2: 5 fields under 4"),
        ("l.csv", "file,start,end,label\na.wav,1,,Dog\n", r"l.csv:2: broken row"),
        ("l.csv", 'file,start,end,label\na,1,2,"Dog\na,3,4,Cat\n', r"l.csv:2: a quotation mark that is not"),
        ("l.csv", 'file,start,end,label\na,1,2,"Dog\n' + "a,3,4,Cat\n" * 20_000, r"l.csv:2: a quotation mark"),
        ("l.csv", 'file,start,end,label\na,1,2,"Dog\na,3,4,"Cat"\n', r"l.csv:2: a quotation mark"),
        ("l.csv", "file,start,end,label," + "x" * 200_000 + "\na,1,2,Dog\n", r"l.csv:1: a column's name has more"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_the_separator_is_that_of_the_header_even_if_lines_end_with_cr_alone(tmp_path: Path) -> None:
    """Spreadsheets write such files as "CSV (Macintosh)"; here with decimal commas, and with commas in labels."""
    label = "a dog, barking, far, loud, old"
    path = write(tmp_path, "l.csv", f"file;start;end;label\ra.wav;0,5;1,5;{label}\rb.wav;2,5;3,5;{label}\r")
    assert by_clip(read_rows(path)) == {"a": [Event(0.5, 1.5, label)], "b": [Event(2.5, 3.5, label)]}


def test_a_table_without_a_column_of_files_belongs_to_the_recording_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "PN_1 - 20160927.csv", ",name,start_seconds,stop_seconds\n0,e,1.5,2\n1,i,3,4\n")
    assert by_clip(read_rows(path)) == {"PN_1 - 20160927": [Event(1.5, 2, "e"), Event(3, 4, "i")]}


def test_a_column_of_audio_files_is_found_whatever_its_name(tmp_path: Path) -> None:
    header = "label,onset_s,offset_s,notated_path,annot_path\n"
    path = write(tmp_path, "l.csv", header + "i,1,2,site/a.WAV,a.not.mat\nk,3,4,site/b.wav,b.not.mat\n")
    assert by_clip(read_rows(path)) == {"a": [Event(1, 2, "i")], "b": [Event(3, 4, "k")]}


def test_a_line_end_within_a_quoted_label_is_a_blank(tmp_path: Path) -> None:
    path = write(tmp_path, "l.csv", 'file,start,end,label\r\na.wav,1,2,"Dog\r\nbark"\r\na.wav,3,4,Cat\r\n')
    assert read_rows(path) == [Row(2, "a", Event(1, 2, "Dog bark")), Row(4, "a", Event(3, 4, "Cat"))]


def test_quoted_fields_rows_without_events_and_names_in_upper_case_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "l.csv", 'FILENAME,Onset,Offset,Label\n"a, b.wav",1,2,"Dog, ""big"""\nc.wav,,,\n')
    assert by_clip(read_rows(path)) == {"a, b": [Event(1, 2, 'Dog, "big"')], "c": []}
