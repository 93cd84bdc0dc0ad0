"""ELAN's documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from label_files import DOG, ELAN, write

from sed.data.events import by_clip, read_rows
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.eaf", ELAN.replace('TIME_VALUE="500"', ""), r"annotation 1 has no known start or end"),
        ("a.eaf", ELAN[:-30], r"a.eaf:\d+: broken XML"),
        (
            "a.eaf",
            ELAN.replace('TIME_VALUE="500"', f'TIME_VALUE="{"5" * 400}"'),
            r"annotation 1 has no known start or end",
        ),
        ("a.eaf", '<!DOCTYPE x [<!ENTITY a "aa">]><ANNOTATION_DOCUMENT/>', r"declares a document type"),
    ],
)
def test_malformed_files_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_without_media_the_documents_name_is_the_recordings_and_empty_intervals_are_skipped(tmp_path: Path) -> None:
    text = re.sub("<MEDIA_DESCRIPTOR[^>]*>", "", ELAN).replace("Cat meow", " ")
    assert by_clip(read_rows(write(tmp_path, "b.eaf", text))) == {"b": [DOG]}


def test_annotations_between_two_known_borders_have_equal_lengths(tmp_path: Path) -> None:
    times = (0, None, None, None, None, 900, 1000, None, None, 2000)
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{i}"{f" TIME_VALUE={chr(34)}{t}{chr(34)}" if t is not None else ""}/>'
        for i, t in enumerate(times)
    )
    annotations = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{i}" TIME_SLOT_REF1="ts{i}" TIME_SLOT_REF2="ts{i + 1}">'
        f"<ANNOTATION_VALUE>{label}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        for i, label in ((0, "a"), (2, "b"), (4, "c"), (6, "d"), (8, "e"))
    )
    text = (
        f'<ANNOTATION_DOCUMENT><HEADER/><TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID="t">{annotations}</TIER>'
        "</ANNOTATION_DOCUMENT>"
    )
    expected = [(0, 0.3, "a"), (0.3, 0.6, "b"), (0.6, 0.9, "c"), (1.0, 1.5, "d"), (1.5, 2.0, "e")]
    assert by_clip(read_rows(write(tmp_path, "a.eaf", text)))["a"] == [Event(*event) for event in expected]
