"""Groups of RealDESED's recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.realdesed.groups import device, write_groups
from sed.errors import UserError
from sed.evaluation.groups import read_groups


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("iPhone 12 mini", "ios"),
        ("Apple iPhone13", "ios"),
        ("I-Pad", "ios"),
        ("Samsung Galaxy S21", "android"),
        ("google_pixel 7a", "android"),
        ("moto g54", "android"),
        ("Zoom H4n", "other"),
        ("Intergalaxy recorder", "other"),  # "galaxy" is not at the beginning of a word
        ("", "other"),
    ],
)
def test_a_device_is_known_by_its_maker(text: str, name: str) -> None:
    assert device(text) == name


HEAD = "filename,device_placement,recording_device,recording_environment\n"


def test_a_recording_is_in_the_group_of_each_of_its_rooms(tmp_path: Path) -> None:
    rows = 'a b.wav,static,iPhone,"kitchen; living room"\nc.wav,mobile,Pixel 6,kitchen\nd.wav,,Zoom,\n'
    (tmp_path / "metadata.csv").write_text(HEAD + rows)
    write_groups(tmp_path / "metadata.csv", tmp_path / "groups.tsv")

    def groups(column: str) -> dict[str, str]:
        return read_groups(tmp_path / "groups.tsv", column)

    assert groups("device_placement") == {"a_b": "static", "c": "mobile", "d": ""}
    assert groups("device") == {"a_b": "ios", "c": "android", "d": "other"}
    assert groups("kitchen") == {"a_b": "kitchen", "c": "kitchen", "d": ""}
    assert groups("living room") == {"a_b": "living room", "c": "", "d": ""}


def test_line_ends_and_blanks_of_a_field_make_no_line_or_group_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(HEAD + 'a.wav,"on the\ntable",Zoom,\nb.wav,on the  table ,Zoom,\n')
    write_groups(tmp_path / "metadata.csv", tmp_path / "groups.tsv")
    assert read_groups(tmp_path / "groups.tsv", "device_placement") == {"a": "on the table", "b": "on the table"}


def test_metadata_without_a_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("filename,device_placement\na.wav,static\n")
    with pytest.raises(UserError, match=r"metadata\.csv:1: no column 'recording_device'"):
        write_groups(tmp_path / "metadata.csv", tmp_path / "groups.tsv")
