"""Parsing that all readers of label files share."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sed.data.annotations.annotation import Annotation, annotation, lines_of, read_text, recording_of, seconds_of
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "recording"),
    [("a.txt", "a"), ("a.wav.txt", "a.wav"), ("a.b.eaf", "a.b"), ("a.Table.1.selections.txt", "a"), (".x", ".x")],
)
def test_a_label_files_name_implies_its_recording(name: str, recording: str) -> None:
    assert recording_of(Path("folder") / name) == recording


def test_a_decimal_comma_is_a_point() -> None:
    found = annotation(Path("x"), 3, "a.wav", "0,5", "1.25", " Dog ")
    assert found == Annotation(3, "a.wav", Event(0.5, 1.25, "Dog"))
    with pytest.raises(UserError, match=r"x:3: onset '1,000,000'"):
        annotation(Path("x"), 3, "a.wav", "1,000,000", "2", "Dog")


def test_json_values_that_are_no_number_or_too_large_for_a_float_become_nan() -> None:
    assert [seconds_of(value) for value in (1, 0.5, True, "1", None, 10**400)] == pytest.approx(
        [1, 0.5, *[math.nan] * 4], nan_ok=True
    )


def test_only_line_feeds_and_carriage_returns_end_a_line() -> None:
    assert lines_of("a\u2028b\nc\x85d\r\ne\rf") == ["a\u2028b", "c\x85d", "e", "f"]


def test_control_characters_in_a_label_become_one_blank() -> None:
    assert annotation(Path("x"), 1, "a.wav", "0", "1", "Dog \v bark") == Annotation(1, "a.wav", Event(0, 1, "Dog bark"))


@pytest.mark.parametrize(
    ("data", "message"), [(b"\xff\x00\xfa", "not a text file"), (b"a\nb\0", "x:2: not a text file")]
)
def test_files_that_are_not_text_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_text(tmp_path / "x")
