"""Broken input is refused with file and line; the command then exits with 2 and writes nothing."""

import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT

from sed.data.scores import Scores, export_tsv, write_scores
from sed.errors import UserError
from sed.evaluation.alignment import align, read_reference
from sed.evaluation.submission import read_submission

TRUTH = "filename\tonset\toffset\tevent_label\na.wav\t0.0\t1.0\tx\nb.wav\t0.5\t2.0\ty\n"
DURATIONS = "filename\tduration\na.wav\t4.0\nb.wav\t4.0\nc.wav\t4.0\n"


@pytest.fixture
def made(tmp_path):
    (tmp_path / "truth.tsv").write_text(TRUTH)
    (tmp_path / "durations.tsv").write_text(DURATIONS)
    rng = np.random.default_rng(0)
    scores = Scores(
        clips=["a", "b", "c"], labels=["x", "y"], frame=rng.random((3, 40, 2), dtype=np.float32),
        clip=np.ones((3, 2), np.float32), frame_seconds=0.1,
    )  # fmt: skip
    write_scores(tmp_path / "scores.h5", scores)
    export_tsv(tmp_path / "tsv", scores.flat())
    return tmp_path


def refused(made, source, message, **options):
    options = {"labels": None, "only_scored": False, "allow_missing": False} | options
    with pytest.raises(UserError, match=message):
        reference = read_reference(made / "truth.tsv", made / "durations.tsv")
        align(read_submission(made / source), reference, **options)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_good_input_passes(made):
    reference = read_reference(made / "truth.tsv", made / "durations.tsv")
    for source in ("scores.h5", "tsv"):
        problem, coverage = align(
            read_submission(made / source), reference, labels=None, only_scored=False, allow_missing=False
        )
        assert problem.clips == ["a", "b", "c"]
        assert (coverage.scored, coverage.expected, coverage.with_output) == (3, 3, 3)


@pytest.mark.parametrize("value", ["nan", "-0.5", "1.01", "inf"])
def test_scores_out_of_range_are_refused(made, value):
    path = made / "tsv" / "b.tsv"
    lines = path.read_text().splitlines()
    lines[3] = "\t".join([*lines[3].split("\t")[:3], value])
    path.write_text("\n".join(lines) + "\n")
    refused(made, "tsv", r"b\.tsv: frame 3: score .* of y is not in \[0, 1\]")


def test_rows_out_of_order_are_refused(made):
    path = made / "tsv" / "b.tsv"
    lines = path.read_text().splitlines()
    lines[4], lines[5] = lines[5], lines[4]
    path.write_text("\n".join(lines) + "\n")
    refused(made, "tsv", r"b\.tsv:5: rows out of order")


@pytest.mark.parametrize("onset", ["-1.0", "-inf", "nan"])
def test_a_first_frame_that_begins_before_the_clip_is_refused(made, onset):
    path = made / "tsv" / "b.tsv"
    lines = path.read_text().splitlines()
    lines[1] = "\t".join([onset, *lines[1].split("\t")[1:]])
    path.write_text("\n".join(lines) + "\n")
    refused(made, "tsv", r"b\.tsv:2: a frame that begins before 0")


def test_digits_with_underscores_are_no_number(made):
    path = made / "tsv" / "b.tsv"
    path.write_text(path.read_text().replace("0.5\t0.6\t", "0.5\t1_0\t"))
    refused(made, "tsv", r"b\.tsv:7: a field that is not a number")


def test_a_field_that_is_no_number_and_a_short_row_are_refused(made):
    path = made / "tsv" / "b.tsv"
    text = path.read_text()
    path.write_text(text.replace("0.5\t0.6\t", "0.5\tsix\t"))
    refused(made, "tsv", r"b\.tsv:7: a field that is not a number")
    path.write_text("\n".join([*text.splitlines()[:5], "0.4\t0.5"]) + "\n")
    refused(made, "tsv", r"b\.tsv:6: 2 fields where the header has 4")


def test_two_columns_of_a_label_and_two_files_of_a_clip_are_refused(made):
    (made / "tsv" / "b.csv").write_text((made / "tsv" / "b.tsv").read_text())
    refused(made, "tsv", "two files of one clip")
    edit(made / "tsv" / "a.tsv", "x\ty", "x\tx")
    refused(made, "tsv", r"a\.tsv:1: two columns of the same label")


def test_another_label_set_in_one_file_is_refused(made):
    edit(made / "tsv" / "b.tsv", "x\ty", "x\tz")
    refused(made, "tsv", r"b\.tsv:1: other labels")


def test_another_label_set_than_that_of_the_ground_truth_is_refused(made):
    edit(made / "truth.tsv", "\tx\n", "\tunheard\n")
    refused(made, "scores.h5", r"truth\.tsv:2: label 'unheard' of clip a is not in the label set of .*scores\.h5")
    (made / "found.tsv").write_text(TRUTH)
    refused(
        made,
        "found.tsv",
        r"truth\.tsv:2: label 'unheard' of clip a is not in the label set of --labels",
        labels=["x", "y"],
    )


def test_another_label_set_than_that_of_the_option_is_refused(made):
    refused(made, "scores.h5", "its label set is not that of --labels: y, z differ", labels=["x", "z"])


def test_a_durations_file_that_lacks_clips_is_refused(made):
    edit(made / "durations.tsv", "c.wav\t4.0\n", "")
    refused(made, "scores.h5", r"durations\.tsv: lacks 1 clips of .*scores\.h5, such as c")
    edit(made / "durations.tsv", "b.wav\t4.0\n", "")
    refused(made, "scores.h5", r"durations\.tsv: lacks 1 clips of .*truth\.tsv, such as b")


def test_clips_without_output_are_refused_or_counted(made):
    (made / "tsv" / "b.tsv").unlink()
    refused(made, "tsv", r"no scores of 1 clips with ground truth, such as b")
    reference = read_reference(made / "truth.tsv", made / "durations.tsv")
    submission = read_submission(made / "tsv")
    problem, coverage = align(submission, reference, labels=None, only_scored=False, allow_missing=True)
    assert (coverage.scored, coverage.with_output) == (3, 2)
    problem, coverage = align(submission, reference, labels=None, only_scored=True, allow_missing=False)
    assert problem.clips == ["a", "c"] and coverage.expected == 3
    assert problem.absent_labels == ["y"]


def test_unknown_labels_of_detections_are_refused(made):
    (made / "found.tsv").write_text(TRUTH.replace("\ty", "\tz"))
    from sed.evaluation.alignment import decide_tables

    submission = read_submission(made / "found.tsv")
    reference = read_reference(made / "truth.tsv", made / "durations.tsv")
    problem, _ = align(submission, reference, labels=None, only_scored=False, allow_missing=False)
    with pytest.raises(UserError, match=r"found\.tsv:3: unknown label 'z' of clip"):
        decide_tables(problem, submission)


def test_detections_may_be_empty(made):
    (made / "found.tsv").write_text(TRUTH.splitlines()[0] + "\n")
    from sed.evaluation.alignment import decide_tables
    from sed.evaluation.metrics.evaluate import evaluate, summary

    submission = read_submission(made / "found.tsv")
    reference = read_reference(made / "truth.tsv", made / "durations.tsv")
    problem, _ = align(submission, reference, labels=None, only_scored=False, allow_missing=False)
    decisions = decide_tables(problem, submission)
    result = summary(problem, evaluate(problem, detections=decisions.detections, points=None, scores=None))
    assert result["event_f1_macro"] == result["intersection_f1_macro"] == 0.0
    assert result["psds1"] is None  # one operating point is no curve


@pytest.mark.parametrize("row", ["a.wav\t2.0\t1.0\tx", "a.wav\t-1\t1.0\tx", "a.wav\tzero\t1.0\tx", "a.wav\t0\tinf\tx"])
def test_broken_times_are_refused(made, row):
    with (made / "truth.tsv").open("a") as file:
        file.write(row + "\n")
    refused(made, "scores.h5", r"truth\.tsv:4: ")


def test_ground_truth_without_events_or_columns_is_refused(made):
    (made / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\n")
    refused(made, "scores.h5", "holds no events")
    (made / "truth.tsv").write_text("filename\tstart\n")
    refused(made, "scores.h5", r"truth\.tsv:1: no column of labels")


def test_two_durations_of_one_clip_are_refused(made):
    with (made / "durations.tsv").open("a") as file:
        file.write("a.wav\t5.0\n")
    refused(made, "scores.h5", r"durations\.tsv:5: a\.wav has two durations")


def test_overlapping_ground_truth_is_merged(made, log_lines):
    with (made / "truth.tsv").open("a") as file:
        file.write("a.wav\t0.5\t1.5\tx\na.wav\t1.5\t1.8\tx\n")
    reference = read_reference(made / "truth.tsv", made / "durations.tsv")
    problem, _ = align(
        read_submission(made / "scores.h5"), reference, labels=None, only_scored=False, allow_missing=False
    )
    times = list(zip(problem.truth.onset, problem.truth.offset, strict=True))
    assert times == [(0.0, 1.5), (1.5, 1.8), (0.5, 2.0)]
    assert problem.joined.truth.offset[0] == 1.8
    assert log_lines[0].startswith(f"{made / 'truth.tsv'}: 1 of ") and log_lines[0].endswith(", the first at line 4")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("durations", "out", "said"),
    [("truth.tsv", "out/result.json", "no column 'duration'"), ("durations.tsv", ".", "a folder (a file to write")],
)
def test_the_command_says_one_line_and_writes_nothing(made, durations, out, said):
    before = sorted(made.rglob("*"))
    command = [sys.executable, "-m", "sed.bin.score", made / "scores.h5", "--ground-truth", made / "truth.tsv"]
    command += ["--durations", made / durations, "--out", made / out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and said in done.stderr
    assert sorted(made.rglob("*")) == before
