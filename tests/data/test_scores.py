import numpy as np
import pytest

from sed.data.scores import Scores, export_tsv, merge_scores, read_scores, write_scores
from sed.errors import UserError


def make(clips=3, frames=7, classes=2, frame_seconds=0.01):
    rng = np.random.default_rng(0)
    return Scores(
        clips=[f"clip{i}" for i in range(clips)],
        labels=[f"label{i}" for i in range(classes)],
        frame=rng.random((clips, frames, classes), dtype=np.float32),
        clip=rng.random((clips, classes), dtype=np.float32),
        frame_seconds=frame_seconds,
        attrs={"model": "exp/x"},
    )


def test_round_trip(tmp_path):
    scores = make()
    write_scores(tmp_path / "scores.h5", scores)
    again = read_scores(tmp_path / "scores.h5")
    assert again.clips == scores.clips and again.labels == scores.labels and again.attrs == scores.attrs
    np.testing.assert_array_equal(again.frame, scores.frame)
    np.testing.assert_array_equal(again.clip, scores.clip)


def piece(scores, first, end, **attrs):
    return Scores(
        clips=scores.clips[first:end],
        labels=scores.labels,
        frame=scores.frame[first:end],
        clip=scores.clip[first:end],
        frame_seconds=scores.frame_seconds,
        attrs={**scores.attrs, "clips_per_second": 2.0, **attrs},
    )


def test_parts_make_the_whole():
    whole = make(clips=5)
    parts = {"a": piece(whole, 0, 2), "b": piece(whole, 2, 2), "c": piece(whole, 2, 5)}
    again = merge_scores(parts, clips=whole.clips, where="feats.scp")
    assert again.clips == whole.clips
    np.testing.assert_array_equal(again.frame, whole.frame)
    np.testing.assert_array_equal(again.clip, whole.clip)
    assert again.attrs == {"model": "exp/x", "clips_per_second": 4.0, "jobs": 3}


def test_parts_that_are_not_the_whole_are_refused():
    whole = make(clips=5)
    first = piece(whole, 0, 2)
    for second, message in (
        (piece(whole, 3, 5), "a and the other parts: 4 clips that are not the 5 of feats.scp"),
        (piece(whole, 1, 5), "6 clips"),
        (piece(whole, 2, 5, model="exp/y"), "b: model is exp/y, and exp/x in a"),
        (piece(make(clips=5, frames=8), 2, 5), "b: other labels or frames than a"),
    ):
        with pytest.raises(UserError, match=message):
            merge_scores({"a": first, "b": second}, clips=whole.clips, where="feats.scp")
    with pytest.raises(UserError, match="no clips"):
        merge_scores({"a": piece(whole, 0, 0)}, clips=whole.clips, where="feats.scp")


def test_flat_keeps_every_frame_with_rounded_times():
    scores = make(frames=36)
    flat = scores.flat()
    assert flat.offset[34] == 0.35  # 35 * 0.01 is 0.35000000000000003
    for row, (clip, rows) in enumerate(flat.items()):
        assert clip == scores.clips[row]
        np.testing.assert_array_equal(flat.values[rows], scores.frame[row])


def test_select_reorders():
    flat = make().flat()
    chosen = flat.select(["clip2", "clip0"])
    assert chosen.clips == ["clip2", "clip0"]
    np.testing.assert_array_equal(chosen.values[:7], flat.values[14:])
    np.testing.assert_array_equal(chosen.values[7:], flat.values[:7])


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_what_is_no_posterior_is_refused_and_named(tmp_path, bad):
    scores = make()
    scores.frame[1, 3, 1] = bad
    write_scores(tmp_path / "scores.h5", scores)
    with pytest.raises(UserError, match=r"clip1: frame 4: score .* of label1"):
        read_scores(tmp_path / "scores.h5")


def test_missing_or_damaged_files_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_scores(tmp_path / "scores.h5")
    (tmp_path / "scores.h5").write_bytes(b"not hdf5")
    with pytest.raises(UserError, match="damaged"):
        read_scores(tmp_path / "scores.h5")


def test_export_is_what_sed_scores_eval_reads(tmp_path):
    from sed.evaluation.submission import read_submission

    flat = make().flat()
    export_tsv(tmp_path / "tsv", flat)
    again = read_submission(tmp_path / "tsv").scores
    np.testing.assert_array_equal(again.values, flat.values)
    np.testing.assert_array_equal(again.onset, flat.onset)
    from sed_scores_eval import io

    frame = io.read_sed_scores(tmp_path / "tsv" / "clip1.tsv")
    np.testing.assert_allclose(frame[["label0", "label1"]].to_numpy(), flat.values[7:14], rtol=1e-12, atol=0)
