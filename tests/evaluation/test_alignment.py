"""Matching of submissions with the reference, and decisions, with their own refusals; broken files: test_bad_input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from problems import problem, scores

from sed.errors import UserError
from sed.evaluation.alignment import Reference, align, decide, read_reference, scores_for
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask
from sed.evaluation.submission import Submission

EVENTS = [(2, "a", 0.0, 1.0, "y"), (3, "b", 0.5, 2.0, "x")]


def reference(events: list[tuple[int, str, float, float, str]] | None = None) -> Reference:
    return Reference(
        path=Path("truth.tsv"),
        durations_path=Path("durations.tsv"),
        events=EVENTS if events is None else events,
        durations={"c": 4.0, "b": 3.0, "a": 2.0},
    )


def detections(*clips: str) -> Submission:
    tables = [(Path("found.tsv"), [(2, clip, 0.0, 1.0, "x") for clip in clips])]
    return Submission(kind="detections", path=Path("found.tsv"), clips=[*clips], tables=tables)


def test_clips_are_sorted_with_their_durations_and_labels_are_the_truths() -> None:
    made, coverage = align(detections("b"), reference(), labels=None, only_scored=False, allow_missing=False)
    assert made.clips == ["a", "b", "c"] and made.durations.tolist() == [2.0, 3.0, 4.0] and made.labels == ["x", "y"]
    assert (coverage.expected, coverage.scored, coverage.with_output) == (3, 3, 1)
    assert made.truth.clip.tolist() == [0, 1] and made.truth.label.tolist() == [1, 0]


def test_given_labels_keep_their_order() -> None:
    made, _ = align(detections("b"), reference(), labels=["z", "y", "x"], only_scored=True, allow_missing=False)
    assert made.labels == ["z", "y", "x"] and made.clips == ["b"] and made.truth.label.tolist() == [2]


def test_nothing_left_to_score_is_refused() -> None:
    with pytest.raises(UserError, match="no events in the 1 clips"):
        align(detections("c"), reference(), labels=None, only_scored=True, allow_missing=False)
    with pytest.raises(UserError, match="none of its clips"):
        align(detections(), reference(), labels=None, only_scored=True, allow_missing=False)


def test_clips_without_scores_are_silence_in_the_problems_order() -> None:
    made = problem(0, clips=4)
    given = scores(0, made)
    some = given.select([made.clips[3], made.clips[0]])
    whole = scores_for(made, some)
    assert whole.clips == made.clips
    rows = [whole.values[whole.start[clip] : whole.start[clip + 1]] for clip in range(4)]
    np.testing.assert_array_equal(rows[0], given.values[given.start[0] : given.start[1]])
    np.testing.assert_array_equal(rows[3], given.values[given.start[3] : given.start[4]])
    assert rows[1].shape == rows[2].shape == (1, 3) and not rows[1].any() and not rows[2].any()
    assert whole.offset[whole.start[1]] == made.durations[1]
    assert scores_for(made, given) is given


def test_decisions_of_scores_are_those_at_their_threshold() -> None:
    made = problem(1)
    given = Submission(
        kind="score folder", path=Path("s"), clips=made.clips, labels=made.labels, scores=scores(1, made)
    )
    post = PostProcessing(threshold=Threshold(dict.fromkeys(made.labels, 0.5)))
    found = decide(made, given, post, points=9)
    assert found.points is not None and found.detections is not None and found.points.points == 9
    at = found.points.at(4)  # the middle one of nine thresholds: 0.5
    for key in ("clip", "label", "onset", "offset"):
        np.testing.assert_array_equal(getattr(at, key), getattr(found.detections, key))


def points() -> Submission:
    tables = [(Path(f"p/{name}.tsv"), [(2, "a", 0.0, 1.0, "x")] * count) for name, count in (("0.1", 2), ("0.2", 0))]
    return Submission(kind="operating points", path=Path("p"), clips=["a"], tables=tables)


def test_f1_is_of_the_table_that_is_named() -> None:
    made, _ = align(points(), reference(), labels=None, only_scored=False, allow_missing=False)
    post = PostProcessing(threshold=Threshold({}))
    assert decide(made, points(), post, points=9).detections is None
    chosen = decide(made, points(), post, points=9, f1_from="anywhere/0.1.tsv")
    assert chosen.detections is not None and len(chosen.detections) == 1  # what overlaps is merged
    assert chosen.points is not None and chosen.points.points == 2
    with pytest.raises(UserError, match=r"0\.3\.tsv: no such file in p \(it has 0\.1\.tsv, 0\.2\.tsv\)"):
        decide(made, points(), post, points=9, f1_from="0.3.tsv")


def test_a_reference_names_what_it_lacks(tmp_path: Path) -> None:
    truth, durations = tmp_path / "truth.tsv", tmp_path / "durations.tsv"
    truth.write_text("filename\tonset\toffset\tevent_label\na.wav\t0.0\t1.0\tx\nb.wav\t\t\t\n")
    durations.write_text("filename\tduration\na.wav\t4.0\nb.wav\t3.0\n")
    found = read_reference(truth, durations)
    assert found.events == [(2, "a", 0.0, 1.0, "x")]
    assert found.durations == {"a": 4.0, "b": 3.0}
    durations.write_text("filename\tduration\na.wav\t4.0\n")
    with pytest.raises(UserError, match=r"lacks 1 clips of .*such as b"):
        read_reference(truth, durations)


def test_recordings_that_nobody_may_have_annotated_are_counted_in_a_warning(
    tmp_path: Path, log_lines: list[str]
) -> None:
    """They were scored as recordings without events, and the detections in them as false, without a word."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0.5\t1.5\tx\n")
    (tmp_path / "labels" / "b.txt").write_text("")  # a recording without events
    durations = tmp_path / "durations.tsv"
    durations.write_text("filename\tduration\na.wav\t10\nb.wav\t10\nc.wav\t10\nd.wav\t10\n")
    read = read_reference(tmp_path / "labels", durations)
    align(detections("a"), read, labels=None, only_scored=False, allow_missing=False)
    assert len(log_lines) == 1 and "names only 2 of the 4 recordings; the others, such as c, count as" in log_lines[0]
    log_lines.clear()
    align(detections("a", "b"), read, labels=None, only_scored=True, allow_missing=False)
    (tmp_path / "names.txt").write_text("c\nd\n")
    align(detections("a"), read.without(tmp_path / "names.txt"), labels=None, only_scored=False, allow_missing=False)
    (tmp_path / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.5\tx\n")
    corpus = read_reference(tmp_path / "truth.tsv", durations)
    align(detections("a"), corpus, labels=None, only_scored=False, allow_missing=False)
    assert not log_lines, "clips that are not scored, are left out, or belong to a corpus"


def test_offsets_beyond_the_recording_stay_unless_too_many_are_far_beyond(tmp_path: Path) -> None:
    truth, durations = tmp_path / "truth.tsv", tmp_path / "durations.tsv"
    truth.write_text("filename\tonset\toffset\tevent_label\na.wav\t0.0\t4.2\tx\na.wav\t1.0\t4.8\ty\n")
    durations.write_text("filename\tduration\na.wav\t4.0\n")
    found = read_reference(truth, durations, max_dropped=50)
    assert [offset for _, _, _, offset, _ in found.events] == [4.2, 4.8]
    with pytest.raises(UserError, match="1 of 2 events do not fit their recordings"):
        read_reference(truth, durations, max_dropped=49)


def test_decisions_take_no_post_processing() -> None:
    made, _ = align(points(), reference(), labels=None, only_scored=False, allow_missing=False)
    post = PostProcessing(steps=[WeakMask()], threshold=Threshold({}))
    with pytest.raises(UserError, match="decisions take no post-processing"):
        decide(made, points(), post, points=9)


def test_f1_is_of_any_table_of_detections(tmp_path: Path) -> None:
    """A name alone is a file of the folder; a path is the file itself, and scores take one too."""
    made, _ = align(points(), reference(), labels=None, only_scored=False, allow_missing=False)
    post = PostProcessing(threshold=Threshold({}))
    other = tmp_path / "0.1.tsv"
    other.write_text("filename\tonset\toffset\tevent_label\nb.wav\t0.5\t2.0\tx\na.wav\t0.0\t0.5\ty\n")
    chosen = decide(made, points(), post, points=9, f1_from=str(other))
    assert chosen.detections is not None and chosen.detections.offset.tolist() == [0.5, 2.0]
    assert chosen.points is not None and chosen.points.points == 2
    of_scores = problem(0, clips=2)
    given = scores(0, of_scores)
    system = Submission(
        kind="scores.h5", path=Path("s.h5"), clips=of_scores.clips, labels=of_scores.labels, scores=given
    )
    other.write_text("filename\tonset\toffset\tevent_label\nclip1.wav\t0.5\t2.0\ta_label\n")
    chosen = decide(of_scores, system, post_of(of_scores.labels), points=9, f1_from=str(other))
    assert chosen.detections is not None and chosen.detections.clip.tolist() == [1] and chosen.thresholds is None
    with pytest.raises(UserError, match="none of its clips is scored"):
        decide(made, points(), post, points=9, f1_from=str(other))
    with pytest.raises(UserError, match=r"no such file \(give a table"):
        decide(of_scores, system, post_of(of_scores.labels), points=9, f1_from=str(tmp_path / "none.tsv"))
    with pytest.raises(UserError, match=r"found[.]tsv is one table of detections"):
        decide(made, detections("a"), post, points=9, f1_from=str(other))


def test_a_warning_counts_the_clips_of_f1_from_that_are_not_scored(tmp_path: Path, log_lines: list[str]) -> None:
    made, _ = align(points(), reference(), labels=None, only_scored=False, allow_missing=False)
    other = tmp_path / "other.tsv"
    other.write_text("filename\tonset\toffset\tevent_label\nb.wav\t0.5\t2.0\tx\nb_2.wav\t0.5\t2.0\tx\n")
    post = PostProcessing(threshold=Threshold({}))
    chosen = decide(made, points(), post, points=9, f1_from=str(other))
    assert chosen.detections is not None and len(chosen.detections) == 1
    assert log_lines[-1:] == [f"{other}: 1 of its 2 clips are not scored, such as b_2: their detections do not count"]


def test_f1_of_a_table_without_rows_is_that_of_silence(tmp_path: Path) -> None:
    made, _ = align(points(), reference(), labels=None, only_scored=False, allow_missing=False)
    silent = tmp_path / "silent.tsv"
    silent.write_text("filename\tonset\toffset\tevent_label\n")
    chosen = decide(made, points(), PostProcessing(threshold=Threshold({})), points=9, f1_from=str(silent))
    assert chosen.detections is not None and len(chosen.detections) == 0


def post_of(labels: list[str]) -> PostProcessing:
    return PostProcessing(threshold=Threshold(dict.fromkeys(labels, 0.5)))


def test_clips_of_a_list_are_in_neither_truth_nor_durations_and_their_output_is_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a.wav\nelsewhere.wav\n")
    left = reference().without(path)
    assert left.excluded == {"a"} and left.durations == {"c": 4.0, "b": 3.0}
    made, coverage = align(detections("a", "b"), left, labels=None, only_scored=False, allow_missing=False)
    assert made.clips == ["b", "c"] and made.labels == ["x"] and coverage.expected == 2 and coverage.with_output == 1
    chosen = decide(made, detections("a", "b"), PostProcessing(threshold=Threshold({})), points=9)
    assert chosen.detections is not None and chosen.detections.clip.tolist() == [0]
    with pytest.raises(UserError, match=r"lacks 1 clips of found[.]tsv, such as d"):
        align(detections("d"), left, labels=None, only_scored=False, allow_missing=False)
    path.write_text("elsewhere.wav\n")
    with pytest.raises(UserError, match="names none of the 3 clips"):
        reference().without(path)
    path.write_text("a\nb\nc\n")
    with pytest.raises(UserError, match="names all 3 clips"):
        reference().without(path)
