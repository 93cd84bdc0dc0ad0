import pytest

from sed.data.prepare.coverage import Share, read_coverage, read_origins, write_coverage
from sed.errors import UserError


def test_existing_and_expected_clips_and_events_are_counted(tmp_path):
    annotated = {"a": ["Dog", "Dog", "Cat"], "b": [], "c": ["Dog"]}
    write_coverage(tmp_path / "c.tsv", "validation", annotated, {"a", "b"})
    assert read_coverage(tmp_path / "c.tsv") == {
        "all": Share(2, 3, 3, 4),
        "Cat": Share(1, 1, 1, 1),
        "Dog": Share(1, 2, 2, 3),
    }


def test_a_class_called_all_does_not_change_the_numbers_of_the_whole_set(tmp_path):
    annotated = {"a": ["all", "Dog"], "b": ["Dog", "Dog"]}
    write_coverage(tmp_path / "c.tsv", "x", annotated, {"a"}, {"a": "mirror/1.tar"})
    table = [line.split("\t")[1:] for line in (tmp_path / "c.tsv").read_text().splitlines()[1:]]
    assert table == [["all", "1", "2", "2", "4", "mirror 1"], ["Dog", "1", "2", "1", "3", "mirror 1"]]


def test_broken_coverage_is_named(tmp_path):
    write_coverage(tmp_path / "c.tsv", "x", {"a": []}, set())
    text = (tmp_path / "c.tsv").read_text()
    for count in ("none", "1" * 5000):
        (tmp_path / "c.tsv").write_text(text.replace("0", count))
        with pytest.raises(UserError, match=r"c\.tsv:2: counts"):
            read_coverage(tmp_path / "c.tsv")
    (tmp_path / "c.tsv").write_text(text.splitlines()[0] + "\n")
    with pytest.raises(UserError, match="no row of class 'all'"):
        read_coverage(tmp_path / "c.tsv")


def test_clips_are_counted_by_origin(tmp_path):
    rows = ["set\tfilename\torigin", "v\ta.wav\txares/1.tar", "v\tb.wav\txares/2.tar", "w\td.wav\tYouTube"]
    (tmp_path / "origins.tsv").write_text("\n".join([*rows, "v\tc.wav\t/data/x"]) + "\n")
    origins = read_origins(tmp_path / "origins.tsv", "v")
    assert origins == {"a": "xares/1.tar", "b": "xares/2.tar", "c": "/data/x"}
    annotated = {"a": ["Dog", "Dog", "Cat"], "b": ["Dog"], "c": ["Cow"], "d": ["Cat"], "e": ["Pig"]}
    write_coverage(tmp_path / "c.tsv", "x", annotated, {"a", "b", "c", "d"}, origins)
    table = [line.split("\t") for line in (tmp_path / "c.tsv").read_text().splitlines()]
    assert {row[1]: row[6] for row in table} == {
        "class": "from",
        "all": "xares 2; /data/x 1; archives 1",
        "Cat": "archives 1; xares 1",
        "Cow": "/data/x 1",
        "Dog": "xares 2",
        "Pig": "",
    }
    assert read_coverage(tmp_path / "c.tsv")["all"] == Share(4, 5, 6, 7)
    many = [str(n) for n in range(20)]
    write_coverage(tmp_path / "c.tsv", "x", {n: [] for n in many}, set(many), {n: f"/{n}" for n in many[:9]})
    line = (tmp_path / "c.tsv").read_text().splitlines()[1]
    assert line.endswith("\tarchives 11; /0 1; /1 1; /2 1; /3 1; /4 1; 4 others 4")
