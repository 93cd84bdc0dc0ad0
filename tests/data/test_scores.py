import numpy as np
import pytest

from sed.data.scores import Scores, export_tsv, read_scores, write_scores
from sed.log import UserError


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
    from sed.evaluation.inputs import read_submission

    flat = make().flat()
    export_tsv(tmp_path / "tsv", flat)
    again = read_submission(tmp_path / "tsv").scores
    np.testing.assert_array_equal(again.values, flat.values)
    np.testing.assert_array_equal(again.onset, flat.onset)
    from sed_scores_eval import io

    frame = io.read_sed_scores(tmp_path / "tsv" / "clip1.tsv")
    np.testing.assert_allclose(frame[["label0", "label1"]].to_numpy(), flat.values[7:14], rtol=1e-12, atol=0)
