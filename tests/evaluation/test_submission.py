"""Detection of a submission's kind, and its content as read; wrong input is in test_bad_input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sed.data.scores import Scores, export_tsv, write_scores
from sed.errors import UserError
from sed.evaluation.submission import read_submission

HEAD = "filename\tonset\toffset\tevent_label\n"


@pytest.fixture
def scores() -> Scores:
    frame = np.random.default_rng(0).random((2, 5, 2), dtype=np.float32)
    return Scores(
        clips=["a", "b"],
        labels=["x", "y"],
        frame=frame,
        clip=np.ones((2, 2), np.float32),
        frame_seconds=0.25,
        attrs={"set": "validation"},
    )


def test_our_scores_and_a_folder_of_score_tables_are_the_same(scores: Scores, tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.h5", scores)
    export_tsv(tmp_path / "tsv", scores.flat())
    ours, theirs = read_submission(tmp_path / "scores.h5"), read_submission(tmp_path / "tsv")
    assert (ours.kind, theirs.kind) == ("scores.h5", "score folder")
    assert ours.attrs["set"] == "validation" and theirs.attrs == {}
    assert ours.clips == theirs.clips == ["a", "b"] and ours.labels == theirs.labels == ["x", "y"]
    assert ours.scores is not None and theirs.scores is not None
    np.testing.assert_allclose(ours.scores.values, theirs.scores.values, atol=1e-6)
    np.testing.assert_allclose(ours.scores.offset, theirs.scores.offset)
    np.testing.assert_array_equal(ours.scores.start, theirs.scores.start)


def test_one_table_is_detections_and_a_folder_of_them_operating_points(tmp_path: Path) -> None:
    folder = tmp_path / "points"
    folder.mkdir()
    (folder / "0.2.tsv").write_text(HEAD + "a.wav\t0.5\t1.0\tx\nb.wav\t\t\t\n")
    (folder / "0.1.tsv").write_text(HEAD + "c.wav\t0.0\t1.0\ty\n")
    one = read_submission(folder / "0.2.tsv")
    assert one.kind == "detections" and one.clips == ["a", "b"] and one.labels is None and one.scores is None
    # an event: line of the table, clip, onset (s), offset (s), label
    assert one.tables == [(folder / "0.2.tsv", [(2, "a", 0.5, 1.0, "x")])]
    several = read_submission(folder)
    assert several.kind == "operating points" and several.clips == ["c", "a", "b"]
    assert [path.name for path, _ in several.tables] == ["0.1.tsv", "0.2.tsv"]


def test_a_folder_of_our_scores_and_events_is_not_scored_by_its_events_alone(scores: Scores, tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.h5", scores)
    (tmp_path / "events.tsv").write_text(f"{HEAD}a.wav\t0\t1\tx\n")
    with pytest.raises(UserError, match="beside tables of events"):
        read_submission(tmp_path)


def test_ground_truth_in_the_folder_is_no_output(tmp_path: Path) -> None:
    for name in ("truth.tsv", "found.tsv"):
        (tmp_path / name).write_text(HEAD + "a.wav\t0.5\t1.0\tx\n")
    (tmp_path / "durations.csv").write_text("filename\tduration\na.wav\t10\n")
    exclude = [tmp_path / "truth.tsv", tmp_path / ".." / tmp_path.name / "durations.csv"]
    assert [path.name for path, _ in read_submission(tmp_path, exclude=exclude).tables] == ["found.tsv"]


def test_what_is_no_submission_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read_submission(tmp_path / "nothing.tsv")
    with pytest.raises(UserError, match=r"no \.tsv in this folder"):
        read_submission(tmp_path)


def test_a_folder_of_audacity_label_files_is_one_table(tmp_path):
    (tmp_path / "a.txt").write_text("1\t2\tDog\n")
    (tmp_path / "b.txt").write_text("0.5\t1\tCat\n")
    found = read_submission(tmp_path)
    assert (found.kind, found.clips) == ("detections", ["a", "b"])
    ((path, events),) = found.tables
    assert path == tmp_path and [event[1:] for event in events] == [("a", 1, 2, "Dog"), ("b", 0.5, 1, "Cat")]


def test_a_first_label_file_without_events_does_not_hide_the_kind_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("0.5\t1\tCat\n")
    found = read_submission(tmp_path)
    assert (found.kind, found.clips) == ("detections", ["a", "b"])


def test_labels_have_no_blanks_around_them_and_are_not_empty(tmp_path: Path) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("onset\toffset\t Dog \n0\t1\t0.5\n")
    assert read_submission(tmp_path).labels == ["Dog"]
    table.write_text("onset\toffset\tDog\t\n0\t1\t0.5\t0.5\n")  # a tab at the end of each line
    with pytest.raises(UserError, match=r"a\.tsv:1: a column without a label"):
        read_submission(tmp_path)


def test_hidden_files_are_skipped(scores: Scores, tmp_path: Path) -> None:
    export_tsv(tmp_path, scores.flat())
    (tmp_path / "._a.tsv").write_bytes(b"\0\5\26\7")  # as macOS writes beside each file on some disks
    assert read_submission(tmp_path).kind == "score folder"


def test_ground_truth_among_label_files_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("5.0\t6.0\tx\n")
    for truth in (tmp_path / "truth.tsv", tmp_path / "below" / "truth.tsv"):
        truth.parent.mkdir(exist_ok=True)
        truth.write_text(HEAD + "a\t0.5\t1.0\tx\n")
        (table,) = read_submission(tmp_path, [truth]).tables
        assert [event[1:] for event in table[1]] == [("a", 5.0, 6.0, "x")]
        truth.unlink()
    (tmp_path / "a.txt").unlink()
    truth.write_text(HEAD + "a\t0.5\t1.0\tx\n")
    with pytest.raises(UserError, match=r"no \.tsv in this folder"):
        read_submission(tmp_path, [truth])


def test_a_byte_that_is_no_text_far_into_a_score_table_is_named_by_its_file(tmp_path: Path) -> None:
    rows = "".join(f"{k}\t{k + 1}\t0.1\n" for k in range(2000))  # beyond what is decoded with the header
    (tmp_path / "a.tsv").write_bytes(f"onset\toffset\tx\n{rows}2000\t2001\t0.".encode() + b"\xff\n")
    with pytest.raises(UserError, match=r"a\.tsv: not a text file"):
        read_submission(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0\t1\t0.1\n\n1\t2\tnone\n", r"a\.tsv:4: a field that is not a number"),
        ("0\t1\t0.1\n\n3\t4\t0.1\n", r"a\.tsv:4: rows out of order"),
        ("\n-1\t1\t0.1\n", r"a\.tsv:3: a frame that begins before 0"),
        ("\n0\t1\n", r"a\.tsv:3: 2 fields where the header has 3"),
    ],
)
def test_blank_lines_of_a_score_table_are_not_taken_for_the_broken_line(
    tmp_path: Path, rows: str, message: str
) -> None:
    (tmp_path / "a.tsv").write_text("onset\toffset\tx\n" + rows)
    with pytest.raises(UserError, match=message):
        read_submission(tmp_path)
