import pytest

from sed.data.prepare.coverage import Share, read_coverage, write_coverage
from sed.errors import UserError


def test_clips_and_events_are_counted_there_and_expected(tmp_path):
    annotated = {"a": ["Dog", "Dog", "Cat"], "b": [], "c": ["Dog"]}
    write_coverage(tmp_path / "c.tsv", "validation", annotated, {"a", "b"})
    assert read_coverage(tmp_path / "c.tsv") == {
        "all": Share(2, 3, 3, 4),
        "Cat": Share(1, 1, 1, 1),
        "Dog": Share(1, 2, 2, 3),
    }


def test_broken_coverage_is_named(tmp_path):
    write_coverage(tmp_path / "c.tsv", "x", {"a": []}, set())
    text = (tmp_path / "c.tsv").read_text()
    (tmp_path / "c.tsv").write_text(text.replace("0", "none"))
    with pytest.raises(UserError, match=r"c\.tsv:2: counts"):
        read_coverage(tmp_path / "c.tsv")
    (tmp_path / "c.tsv").write_text(text.splitlines()[0] + "\n")
    with pytest.raises(UserError, match="no row of class 'all'"):
        read_coverage(tmp_path / "c.tsv")
