"""Subtitles as labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_files import FILES, write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILES["srt"][1].replace("00:00:02,500", "x"), r"a.srt:5: a subtitle without times"),
        (FILES["srt"][1].replace("00:00:02,500", "00:00:01,500"), r"a.srt:5: onset 2.0 is not before offset 1.5"),
        (FILES["srt"][1] + "\n\nmore\n", r"a.srt:11: a subtitle without times"),
        (FILES["srt"][1] + "\n\nNOTE of WebVTT only\n", r"a.srt:11: a subtitle without times"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nDog\n\nmore\n", r"a.srt:6: a subtitle without times"),
        (FILES["srt"][1].replace("00:00:02,500", f"{'1' * 400}:00:02,500"), r"a.srt:5: a subtitle without times"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, "a.srt", text))


def test_hours_fractions_and_character_references_are_read(tmp_path: Path) -> None:
    text = "WEBVTT - a title\n\n01:00:00.5 --> 100:00:00.250\nR&amp;B &lt;loud&gt;\n\n00:01.000 --> 00:02.000\n\n"
    assert by_clip(read_rows(write(tmp_path, "a.vtt", text))) == {"a": [Event(3600.5, 360000.25, "R&B <loud>")]}


def test_a_cues_number_may_be_missing_and_its_label_be_a_number(tmp_path: Path) -> None:
    text = "00:00:01,000 --> 00:00:02,000\n440\n\n\n7\n00:00:03,000 --> 00:00:04,000\n00:00 --> midnight\n"
    found = by_clip(read_rows(write(tmp_path, "a.srt", text)))
    assert found == {"a": [Event(1, 2, "440"), Event(3, 4, "00:00 --> midnight")]}


def test_a_cue_ends_where_the_times_of_the_next_begin(tmp_path: Path) -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nDog\n00:03.000 --> 00:04.000 align:start\nCat\n"
    assert by_clip(read_rows(write(tmp_path, "a.vtt", text))) == {"a": [Event(1, 2, "Dog"), Event(3, 4, "Cat")]}


def test_the_number_of_the_next_cue_is_not_part_of_a_label(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nDog\n2\n00:00:03,000 --> 00:00:04,000\nCat\n"
    found = by_clip(read_rows(write(tmp_path, "a.srt", text)))
    assert found == {"a": [Event(1, 2, "Dog"), Event(3, 4, "Cat")]}
    with pytest.raises(UserError, match=r"a.srt:4: onset 3.0 is not before offset 2.0"):
        read_rows(write(tmp_path, "a.srt", text.replace("00:00:04", "00:00:02")))


def test_cues_are_read_whatever_their_identifiers_begin_with(tmp_path: Path) -> None:
    text = "WEBVTT\n00:01.000 --> 00:02.000\nDog\n\nNOTE x\n\nNOTES-1\n00:03.000 --> 00:04.000\nCat\n"
    assert by_clip(read_rows(write(tmp_path, "a.vtt", text))) == {"a": [Event(1, 2, "Dog"), Event(3, 4, "Cat")]}


@pytest.mark.parametrize(
    "head", ["WEBVTT\nKind: captions\nLanguage: en\n", "WEBVTT\nKind: captions\n1\n", "WEBVTT\n\nNOTE\nx\n"]
)
def test_a_cue_right_below_a_header_or_note_is_read(tmp_path: Path, head: str) -> None:
    text = f"{head}00:01.000 --> 00:02.000\nDog\n"
    assert by_clip(read_rows(write(tmp_path, "a.vtt", text))) == {"a": [Event(1, 2, "Dog")]}


def test_a_folder_skips_subtitles(tmp_path: Path) -> None:
    for kind in ("audacity", "srt"):
        write(tmp_path, *FILES[kind])
    assert len(read_rows(tmp_path)) == 2
