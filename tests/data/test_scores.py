import json
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from paths import ROOT

from sed.data.scores import Scores, average_scores, export_tsv, merge_scores, read_scores, release, write_scores
from sed.errors import UserError

FIXTURES = ROOT / "tests" / "fixtures"


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


def test_scores_are_read_as_written(tmp_path):
    scores = make()
    write_scores(tmp_path / "scores.h5", scores)
    again = read_scores(tmp_path / "scores.h5")
    assert again.clips == scores.clips and again.labels == scores.labels and again.attrs == scores.attrs
    assert again.frame_seconds == scores.frame_seconds
    np.testing.assert_array_equal(again.frame, scores.frame)
    np.testing.assert_array_equal(again.clip, scores.clip)


def test_large_scores_are_mapped_and_read_again_after_their_release(tmp_path, monkeypatch):
    monkeypatch.setattr("sed.data.scores.MAPPED", 4)
    scores = make()
    write_scores(tmp_path / "scores.h5", scores)
    again = read_scores(tmp_path / "scores.h5")
    assert isinstance(again.frame, np.memmap)
    for _ in range(2):
        np.testing.assert_array_equal(again.frame, scores.frame)
        release(again.frame)


def piece(scores, first, end, **attrs):
    return Scores(
        clips=scores.clips[first:end],
        labels=scores.labels,
        frame=scores.frame[first:end],
        clip=scores.clip[first:end],
        frame_seconds=scores.frame_seconds,
        attrs={**scores.attrs, "clips_per_second": 2.0, **attrs},
    )


def test_merged_parts_equal_the_whole():
    whole = make(clips=5)
    parts = {"a": piece(whole, 0, 2), "b": piece(whole, 2, 2), "c": piece(whole, 2, 5)}
    again = merge_scores(parts, clips=whole.clips, where="feats.scp")
    assert again.clips == whole.clips
    np.testing.assert_array_equal(again.frame, whole.frame)
    np.testing.assert_array_equal(again.clip, whole.clip)
    assert again.attrs == {"model": "exp/x", "clips_per_second": 4.0, "jobs": 3}


def test_an_ensemble_is_the_mean_of_members_of_one_set():
    one, other = make(clips=3), make(clips=3)
    other.frame[:], other.clip[:] = 1 - one.frame / 2, 0.25
    mean = average_scores({"a": one, "b": other})
    np.testing.assert_allclose(mean.frame, (one.frame + 1 - one.frame / 2) / 2, rtol=0, atol=1e-7)
    np.testing.assert_allclose(mean.clip, (one.clip + 0.25) / 2, rtol=0, atol=1e-7)
    assert mean.attrs == {"ensemble": ["exp/x", "exp/x"]} and mean.clips == one.clips
    for odd, message in (
        (make(clips=2), "b: other clips than a"),
        (make(clips=3, frames=8), "a: 7 frames of 0.01 s, but clips are of 0.08 s"),
        (make(clips=3, frames=4, frame_seconds=0.04), "a: 7 frames of 0.01 s"),
    ):
        with pytest.raises(UserError, match=message):
            average_scores({"a": one, "b": odd})


def test_an_ensemble_of_several_frame_rates_is_averaged_at_the_finest():
    fine, coarse = make(clips=3, frames=8), make(clips=3, frames=2, frame_seconds=0.04)
    for members in ({"a": fine, "b": coarse}, {"b": coarse, "a": fine}):
        mean = average_scores(members)
        assert mean.frame_seconds == 0.01
        expected = (fine.frame + coarse.frame.repeat(4, axis=1)) / 2
        np.testing.assert_allclose(mean.frame, expected, rtol=0, atol=1e-7)


def test_clips_of_an_ensemble_may_differ_by_less_than_two_of_the_longer_frames():
    fine = make(frames=20)  # 0.2 s
    assert average_scores({"a": fine, "b": make(frames=4, frame_seconds=0.04)}).frame.shape[1] == 20
    with pytest.raises(UserError, match=r"b: 3 frames of 0\.04 s, but clips are of 0\.2 s"):
        average_scores({"a": fine, "b": make(frames=3, frame_seconds=0.04)})
    # AST-SED's and the Conformer's frames of ten seconds, of which the Conformer's last ends at 10.013 s
    mean = average_scores({"a": make(frames=1000), "b": make(frames=62, frame_seconds=0.1615)})
    assert mean.frame.shape[1] == 1001
    with pytest.raises(UserError, match=r"99 frames of 0\.01 s, but clips are of 1 s"):
        average_scores({"a": make(frames=100), "b": make(frames=99), "c": make(frames=6, frame_seconds=0.16)})


def test_incomplete_parts_are_refused():
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
    with pytest.raises(UserError, match=r"a and the other parts: not in the order of feats\.scp"):
        merge_scores({"a": piece(whole, 2, 5), "b": first}, clips=whole.clips, where="feats.scp")
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


def test_blocks_are_whole_clips_that_know_the_usual_frame_of_their_set():
    scores = make(clips=5, frames=4)  # of 2 classes: 8 scores per clip
    flat = scores.flat()
    flat.offset[:4] *= 2  # the first clip's frames are longer
    found = list(flat.blocks(17))
    assert [block.clips for block in found] == [["clip0", "clip1"], ["clip2", "clip3"], ["clip4"]]
    assert [len(block.clips) for block in flat.blocks(1)] == [1] * 5
    assert {block.frame_seconds() for block in flat.blocks(1)} == {0.01}
    np.testing.assert_array_equal(np.concatenate([block.values for block in found]), flat.values)


def test_a_clip_that_stands_twice_in_a_file_is_refused(tmp_path):
    write_scores(tmp_path / "scores.h5", replace(make(), clips=["a", "b", "a"]))
    with pytest.raises(UserError, match=r"scores\.h5: a clip stands in it twice"):
        read_scores(tmp_path / "scores.h5")


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_values_that_are_not_posteriors_are_refused_and_named(tmp_path, bad):
    scores = make()
    scores.frame[1, 3, 1] = bad
    write_scores(tmp_path / "scores.h5", scores)
    with pytest.raises(UserError, match=r"clip1: frame 4: score .* of label1"):
        read_scores(tmp_path / "scores.h5")
    scores = make()
    scores.clip[1, 1] = bad
    write_scores(tmp_path / "scores.h5", scores)
    with pytest.raises(UserError, match=r"scores\.h5: clip posteriors that are NaN or outside \[0, 1\]"):
        read_scores(tmp_path / "scores.h5")


def test_missing_or_damaged_files_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_scores(tmp_path / "scores.h5")
    with pytest.raises(UserError, match="a folder"):  # not "no such file": it is there
        read_scores(tmp_path)
    (tmp_path / "scores.h5").write_bytes(b"not hdf5")
    with pytest.raises(UserError, match="damaged"):
        read_scores(tmp_path / "scores.h5")


@pytest.mark.thorough
def test_exported_scores_are_read_back(tmp_path):
    from sed.evaluation.submission import read_submission

    flat = make().flat()
    export_tsv(tmp_path / "tsv", flat)
    again = read_submission(tmp_path / "tsv").scores
    np.testing.assert_array_equal(again.values, flat.values)
    np.testing.assert_array_equal(again.onset, flat.onset)
    from sed_scores_eval import io

    frame = io.read_sed_scores(tmp_path / "tsv" / "clip1.tsv")
    np.testing.assert_allclose(frame[["label0", "label1"]].to_numpy(), flat.values[7:14], rtol=1e-12, atol=0)


def test_a_file_without_checksum_is_read_and_reported_as_unchecked(tmp_path, caplog):
    write_scores(tmp_path / "scores.h5", make())
    with h5py.File(tmp_path / "scores.h5", "r+") as file:  # HDF5 cuts the seal, which follows its content
        del file.attrs["sealed"]
    assert b"sed-crc32" not in (tmp_path / "scores.h5").read_bytes()
    with caplog.at_level("INFO", "sed"):
        read_scores(tmp_path / "scores.h5")
    assert "scores.h5: unchecked" in caplog.text


def edited(path, edit):
    """Write a file in our format as another tool would, without a checksum."""
    scores = make()
    with h5py.File(path, "w") as file:
        file["frame"], file["clip"] = scores.frame, scores.clip
        file["clip_id"] = np.array(scores.clips, dtype=object)
        file.attrs.update({"format": 1, "frame_seconds": 0.01, "labels": json.dumps(scores.labels), "attrs": "{}"})
        edit(file)
    return path


def replaced(name, *args, **kwargs):
    def edit(file):
        del file[name]
        file.create_dataset(name, *args, **kwargs)

    return edit


def linked(link):
    def edit(file):
        file.move("frame", "elsewhere")
        file["frame"] = link

    return edit


def external(file):
    del file["clip_id"]
    file.create_dataset("clip_id", (3,), "S8", external=[("/etc/passwd", 0, 24)])


def virtual(file):
    layout = h5py.VirtualLayout((3, 7, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "frame", (3, 7, 2))
    del file["frame"]
    file.create_virtual_dataset("frame", layout)


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "edit,message",
    [
        (external, "stored in another file"),
        (virtual, "virtual dataset"),
        (linked(h5py.ExternalLink("other.h5", "frame")), "link to elsewhere"),
        (linked(h5py.SoftLink("/elsewhere")), "link to elsewhere"),
        (replaced("frame", (3, 1 << 40, 2), "f4", chunks=(1, 1024, 2)), "chunks|claims"),
        (replaced("frame", (3, 300_000_000, 2), "f4", chunks=(3, 1000, 2), compression="gzip"), "compressed"),
        (replaced("frame", (3, 1 << 40, 2), "f4"), "claims|Unable"),
        (replaced("frame", (3, 14), "f4"), "2 dimensions"),
        (replaced("frame", (3, 7, 2, 1), "f4"), "4 dimensions"),
        (replaced("frame", (), "f4"), "0 dimensions"),
        (replaced("frame", (3, 0, 2), "f4"), "without frames"),
        (replaced("frame", (3, 7, 2), "f8"), "float64"),
        (replaced("frame", (3, 7, 2), ">f4"), ">f4"),
        (replaced("frame", (3, 7, 2), "c8"), "complex"),
        (replaced("frame", (3, 7, 2), "S4"), "type"),
        (replaced("frame", (2, 7, 2), "f4"), "disagree|without values"),
        (replaced("clip", (3,), "f4"), "1 dimensions"),
        (lambda file: file.__delitem__("frame"), "no frame"),
        (attribute("frame_seconds", 0.0), "frames of 0.0 s"),
        (attribute("frame_seconds", -1.0), "frames of -1.0 s"),
        (attribute("frame_seconds", np.nan), "frames of nan s"),
        (attribute("frame_seconds", "long"), "could not convert"),
        (attribute("labels", "null"), "labels"),
        (attribute("labels", "5"), "labels"),
        (attribute("labels", "[]"), "labels"),
        (attribute("labels", '["a", "a"]'), "twice"),
        (attribute("labels", "[1, 2]"), "labels"),
        (attribute("labels", "[" * 20_000), "damaged"),
        (attribute("attrs", "null"), "attrs"),
        (attribute("attrs", "5"), "attrs"),
    ],
)
def test_unexpected_content_is_one_line(tmp_path, edit, message):
    path = edited(tmp_path / "scores.h5", edit)
    with pytest.raises(UserError, match=message) as error:
        read_scores(path)
    assert "scores.h5" in str(error.value) and "\n" not in str(error.value)


CRASHING = FIXTURES / "scores_segv.h5"  # of infer, damaged: its clip ids are stored as sequences of bytes, not as text


def test_clip_ids_that_would_crash_the_library_are_refused_by_their_type():
    with pytest.raises(UserError, match=r"scores_segv\.h5: damaged HDF5 \(clip_id is of type object, not text\)"):
        read_scores(CRASHING)


def test_a_crash_of_the_library_is_one_line(monkeypatch):
    monkeypatch.setattr("sed.data.scores.plain", lambda file, name, *_: file[name])  # without the check of the type
    with pytest.raises(UserError, match=r"scores_segv\.h5: damaged HDF5 \(.*crashes") as error:
        read_scores(CRASHING)
    assert "\n" not in str(error.value)


def test_a_command_with_names_that_are_not_utf_8_is_kept(tmp_path):
    scores = replace(make(), attrs={"command": os.fsdecode(b"infer s\xff.h5")})
    write_scores(tmp_path / os.fsdecode(b"s\xff.h5"), scores)
    assert read_scores(tmp_path / os.fsdecode(b"s\xff.h5")).attrs == scores.attrs
