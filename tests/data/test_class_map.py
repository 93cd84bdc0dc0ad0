"""Class maps: reading, and errors by file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import ROOT

from sed.checkpoints.published_head import AUDIOSET_STRONG
from sed.data.class_map import read_class_map
from sed.errors import UserError

CLASSES = ["Bark", "Cat", "Dog", "Meow, purr", "Speech"]


def written(path: Path, *rows: str, header: str = "class\tlabel") -> Path:
    path.write_text("\n".join(["# of tests", header, *rows]) + "\n")
    return path


def test_labels_are_made_of_the_classes_named(tmp_path: Path) -> None:
    table = written(
        tmp_path / "map.tsv", "Dog\tdog", "Meow, purr\tcat", "", "Bark\tdog", "# no more", "Cat\tpet", "Dog\tpet"
    )
    found = read_class_map(table, CLASSES)
    assert found.labels == ["dog", "cat", "pet"]
    assert found.members.tolist() == [
        [True, False, True, False, False], [False, False, False, True, False], [False, True, True, False, False],
    ]  # fmt: skip
    (tmp_path / "labels.txt").write_text("cat\ndog\npet\n")
    ordered = read_class_map(table, CLASSES, labels=tmp_path / "labels.txt")
    assert ordered.labels == ["cat", "dog", "pet"] and (ordered.members == found.members[[1, 0, 2]]).all()


@pytest.mark.parametrize(
    "rows, line, message",
    [
        (["Dog\tdog", "Barc\tdog"], 4, r"class 'Barc' is none of the head's 5 \(did you mean 'Bark'\?\)"),
        (["bzzz\tdog"], 3, "class 'bzzz' is none of the head's 5"),
        (["Dog\tdog", "Bark\tdog", "Dog\tdog"], 5, "'Dog' and 'dog' are on line 3 already"),
        (["Dog\tdog", "Cat\tcow"], 4, "label 'cow' is not in .*labels.txt"),
        (["Dog"], 3, "not a class and its label, a tab between"),
        (["Dog\tdog\t1"], 3, "not a class and its label, a tab between"),
        (["Dog\t "], 3, "not a class and its label"),
        (["Dog dog"], 3, "not a class and its label"),
        (["Dog\tdog, cat"], 3, "label 'dog, cat' holds a comma"),
    ],
    ids=["unknown", "unlike any", "duplicate", "no label of ours", "one field", "three", "empty", "blanks", "comma"],
)
def test_a_wrong_row_is_named_by_its_line(rows: list[str], line: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("dog\n")
    table = written(tmp_path / "map.tsv", *rows)
    with pytest.raises(UserError, match=f"^{re.escape(str(table))}:{line}: {message}") as error:
        read_class_map(table, CLASSES, labels=tmp_path / "labels.txt")
    assert "\n" not in str(error.value)


def test_a_label_without_a_class_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("dog\n\nfrog\n")
    table = written(tmp_path / "map.tsv", "Dog\tdog")
    with pytest.raises(
        UserError,
        match=f"^{re.escape(str(tmp_path))}/labels.txt:3: label 'frog' has no class in {re.escape(str(table))}",
    ):
        read_class_map(table, CLASSES, labels=tmp_path / "labels.txt")


def test_other_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"map.tsv:2: the columns are class and label"):
        read_class_map(written(tmp_path / "map.tsv", "Dog\tdog", header="label\tclass"), CLASSES)
    with pytest.raises(UserError, match=r"map.tsv: no rows"):
        read_class_map(written(tmp_path / "map.tsv"), CLASSES)
    with pytest.raises(UserError, match="no such file"):
        read_class_map(tmp_path / "none.tsv", CLASSES)


PUBLISHED = {  # indices of the head's classes, as github.com/mcjoshi/DecoderFirst has them for the same checkpoints
    "Alarm_bell_ringing": [6, 7, 26, 27, 30, 53, 59, 135, 162, 300, 339, 378, 379],
    "Blender": [37],
    "Cat": [64, 65, 244, 283],
    "Dishes": [121, 128],
    "Dog": [20, 44, 130, 187, 204, 265, 421, 443],
    "Electric_shaver_toothbrush": [144, 145, 392],
    "Frying": [173, 331],
    "Running_water": [23, 329, 413, 414],
    "Speech": [78, 103, 157, 238, 254, 353],
    "Vacuum_cleaner": [405],
}


def test_desed_s_map_has_the_published_places_in_the_head() -> None:
    classes = AUDIOSET_STRONG.read_text().splitlines()
    assert len(classes) == 447 and classes == sorted(set(classes))
    found = read_class_map(ROOT / "local/desed_class_map.tsv", classes)
    assert {
        label: row.nonzero()[0].tolist() for label, row in zip(found.labels, found.members, strict=True)
    } == PUBLISHED
