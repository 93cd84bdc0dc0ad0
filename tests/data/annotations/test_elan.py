"""ELAN's documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from label_files import DOG, ELAN, write

from sed.data.events import by_clip, read_rows
from sed.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.eaf", ELAN.replace('TIME_VALUE="500"', ""), r"annotation 1 has no time"),
        ("a.eaf", ELAN[:-30], r"a.eaf:\d+: broken XML"),
        ("a.eaf", '<!DOCTYPE x [<!ENTITY a "aa">]><ANNOTATION_DOCUMENT/>', r"declares a document type"),
    ],
)
def test_what_is_broken_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows(write(tmp_path, name, text))


def test_without_media_the_document_is_its_recordings_and_empty_intervals_are_none(tmp_path: Path) -> None:
    text = re.sub("<MEDIA_DESCRIPTOR[^>]*>", "", ELAN).replace("Cat meow", " ")
    assert by_clip(read_rows(write(tmp_path, "b.eaf", text))) == {"b": [DOG]}
