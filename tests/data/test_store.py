import os
import pickle
import random
import re

import h5py
import numpy as np
import pytest

from sed.data.store import FeatureStore, FeatureWriter, check_dump, shard_fault
from sed.errors import UserError
from sed.seal import SEAL

FRONT_END = {"front_end": "kaldi", "mel_bins": 8, "f_min": 20.0, "dither": False}


def features(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(int(rng.integers(1, 21)), 8)).astype(np.float16) for _ in range(count)]


def write(path, items, clips, stop=None, front_end=FRONT_END):
    """Write a shard; with `stop`, end after this number of clips, as a killed process does.

    Return the number of clips that had been written already.
    """
    writer = FeatureWriter(path, clips=clips, frames=20, bins=8, front_end=front_end)
    resumed_at = writer.done
    for item in items[writer.done : stop]:
        writer.write(item)
    if stop is None:
        writer.__exit__(None, None, None)
    return resumed_at


def test_written_features_are_read_back(tmp_path):
    first, second = features(7), features(5, seed=1)
    write(tmp_path / "feats.1.h5", first, list("abcdefg"))
    write(tmp_path / "feats.2.h5", second, list("vwxyz"))
    names = [f"{c} feats.1.h5:{i}\n" for i, c in enumerate("abcdefg")] + [
        f"{c} feats.2.h5:{i}\n" for i, c in enumerate("vwxyz")
    ]
    (tmp_path / "feats.scp").write_text("".join(names))
    store = FeatureStore(tmp_path)
    assert store.clips == list("abcdefgvwxyz") and (store.frames, store.bins) == (20, 8)
    assert store.front_end == FRONT_END and type(store.front_end["mel_bins"]) is int
    for reader in (store, pickle.loads(pickle.dumps(store))):
        batch = reader.read([9, 0, 6, 9])
        assert batch.dtype == np.float16 and batch.shape == (4, 20, 8)
        for row, item in zip(batch, (second[2], first[0], first[6], second[2]), strict=True):
            np.testing.assert_array_equal(row[: len(item)], item)
            assert not row[len(item) :].any()
    assert store.valid.tolist() == [len(item) for item in first + second]
    with h5py.File(tmp_path / "feats.1.h5") as file:
        assert file["logmel"].chunks == (1, 20, 8) and file["logmel"].compression is None
        np.testing.assert_array_equal(file["logmel"][3, : len(first[3])], first[3])


def test_a_killed_writer_is_resumed_and_gives_the_same_bytes(tmp_path):
    items, clips = features(40), [f"c{i:02d}" for i in range(40)]
    write(tmp_path / "whole.h5", items, clips)
    rng = random.Random(0)
    path = tmp_path / "killed.h5"
    done = 0
    for _ in range(12):
        stop = min(done + rng.randint(0, 5), 40)
        assert write(path, items, clips, stop=stop) == done
        done = stop
        assert not path.exists()
    write(path, items, clips)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    with h5py.File(path) as file:  # by default HDF5 stores the time, in seconds
        assert not any(dataset.id.get_create_plist().get_obj_track_times() for dataset in file.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.h5", "whole.h5"]


def test_a_resumed_writer_trusts_only_what_matches_its_checksum(tmp_path):
    items, clips = features(10), list("abcdefghij")
    write(tmp_path / "x.h5", items, clips, stop=8)
    part = tmp_path / ".x.h5.part"
    with h5py.File(part) as file:
        place = file["logmel"].id.get_chunk_info(5).byte_offset
    data = bytearray(part.read_bytes())
    data[place] ^= 1
    part.write_bytes(data)
    assert write(tmp_path / "x.h5", items, clips) == 5
    assert shard_fault(tmp_path / "x.h5", clips=clips, front_end=FRONT_END) is None


def test_a_writer_starts_over_for_another_front_end_or_list(tmp_path):
    items, clips = features(10), list("abcdefghij")
    write(tmp_path / "x.h5", items, clips, stop=8)
    assert write(tmp_path / "x.h5", items, clips, stop=6, front_end={**FRONT_END, "f_min": 0.0}) == 0
    assert write(tmp_path / "x.h5", items, list("abcdefghik"), stop=6, front_end={**FRONT_END, "f_min": 0.0}) == 0
    (tmp_path / ".x.h5.part").write_bytes(b"rubbish")
    assert write(tmp_path / "x.h5", items, clips) == 0


def test_faults_of_finished_shards_are_found(tmp_path):
    items, clips = features(10), list("abcdefghij")
    path = tmp_path / "x.h5"
    assert shard_fault(path, clips=clips, front_end=FRONT_END) == "missing"
    write(path, items, clips)
    assert shard_fault(path, clips=clips, front_end=FRONT_END) is None
    assert "front end" in shard_fault(path, clips=clips, front_end={**FRONT_END, "mel_bins": 9})
    assert "other clips" in shard_fault(path, clips=clips[1:], front_end=FRONT_END)
    data = path.read_bytes()
    with h5py.File(path) as file:
        place = file["logmel"].id.get_chunk_info(7).byte_offset
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert "clip h" in shard_fault(path, clips=clips, front_end=FRONT_END)
    path.write_bytes(data[: len(data) // 2])
    assert "damaged" in shard_fault(path, clips=clips, front_end=FRONT_END)


def test_store_refuses_damaged_and_mixed_shards(tmp_path):
    write(tmp_path / "feats.1.h5", features(2), ["a", "b"])
    write(tmp_path / "feats.2.h5", features(2), ["c", "d"], front_end={**FRONT_END, "f_min": 0.0})
    scp = tmp_path / "feats.scp"
    for text, says in (
        ("a feats.1.h5:0\nc feats.2.h5:0\n", "another front end"),
        ("a feats.1.h5:1\n", "not those"),
        ("a feats.1.h5:7\n", "not those"),
        ("a feats.9.h5:0\n", "no such shard"),
        ("a feats.1.h5\n", r"feats\.scp:1: "),
        (f"a feats.1.h5:{10**30}\n", r"feats\.scp:1: "),
    ):
        scp.write_text(text)
        with pytest.raises(UserError, match=says):
            FeatureStore(tmp_path)
    scp.write_text("a feats.1.h5:0\n")
    (tmp_path / "feats.1.h5").write_bytes((tmp_path / "feats.1.h5").read_bytes()[:900])
    with pytest.raises(UserError, match=r"feats\.1\.h5: damaged"):
        FeatureStore(tmp_path)


def test_features_that_do_not_fit_are_refused(tmp_path):
    writer = FeatureWriter(tmp_path / "x.h5", clips=["a"], frames=20, bins=8, front_end=FRONT_END)
    with pytest.raises(ValueError):
        writer.write(np.zeros((21, 8)))


def rewritten(path, **changes):
    """Write the same shard as another tool would."""
    with h5py.File(path, "r") as file:
        values = {name: file[name][()] for name in ("logmel", "frames", "crc32", "clip_id")}
        attributes = dict(file.attrs)
    with h5py.File(path, "w", libver="v110") as file:
        for name, value in values.items():
            dtype, options = changes.get(name, (value.dtype, {}))
            if name == "logmel":
                options = {"chunks": (1, 20, 8), **options}
            file.create_dataset(name, data=value.astype(dtype), **options)
        file.attrs.update(attributes)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"logmel": ("<f2", {"compression": "gzip"})}, "compressed"),
        ({"logmel": ("<f2", {"shuffle": True})}, "filtered"),
        ({"logmel": (">f2", {})}, ">f2"),
        ({"logmel": ("<i2", {})}, "int16"),
        ({"logmel": ("<f2", {"chunks": (1, 10, 8)})}, "chunks"),
        ({"logmel": ("<f2", {"chunks": None})}, "chunks"),
        ({"frames": ("<i4", {})}, "int32"),
        ({"frames": ("<f8", {})}, "float64"),
        ({"crc32": ("<u8", {})}, "uint64"),
        ({"clip_id": ("V1", {})}, "type"),
    ],
)
def test_shards_of_another_type_or_layout_are_refused(tmp_path, changes, message):
    write(tmp_path / "feats.1.h5", features(3), list("abc"))
    (tmp_path / "feats.scp").write_text("a feats.1.h5:0\nb feats.1.h5:1\nc feats.1.h5:2\n")
    rewritten(tmp_path / "feats.1.h5")  # types and layout as written, but no seal
    assert FeatureStore(tmp_path).read([0, 1, 2]).shape == (3, 20, 8)
    rewritten(tmp_path / "feats.1.h5", **changes)
    with pytest.raises(UserError, match=rf"feats\.1\.h5: damaged .*{message}"):
        FeatureStore(tmp_path)
    fault = shard_fault(tmp_path / "feats.1.h5", clips=list("abc"), front_end=FRONT_END)
    assert fault is not None and re.search(rf"^damaged: .*{message}", fault)


def test_a_shard_that_reads_other_files_is_refused(tmp_path):
    path = tmp_path / "feats.1.h5"
    write(path, features(3), list("abc"))
    (tmp_path / "feats.scp").write_text("a feats.1.h5:0\nb feats.1.h5:1\nc feats.1.h5:2\n")
    rewritten(path)
    with h5py.File(path, "r+") as file:
        del file["frames"]
        file.create_dataset("frames", (3,), "<u4", external=[("/etc/passwd", 0, 12)])
    with pytest.raises(UserError, match="stored in another file"):
        FeatureStore(tmp_path)


def test_a_clip_is_checked_when_it_is_read(tmp_path):
    path = tmp_path / "feats.1.h5"
    write(path, features(3), list("abc"))
    (tmp_path / "feats.scp").write_text("a feats.1.h5:0\nb feats.1.h5:1\nc feats.1.h5:2\n")
    with h5py.File(path) as file:
        place = file["logmel"].id.get_chunk_info(1).byte_offset
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    store = FeatureStore(tmp_path)
    store.read([0, 2])
    with pytest.raises(UserError, match=r"feats\.1\.h5: clip b: damaged .* does not match"):
        store.read([0, 1])


def test_a_writer_killed_after_writing_the_seal_gives_the_same_bytes(tmp_path, monkeypatch):
    items, clips = features(4), list("abcd")
    write(tmp_path / "whole.h5", items, clips)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.fsync", killed)
        write(tmp_path / "killed.h5", items, clips)
    assert write(tmp_path / "killed.h5", items, clips) == 4
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_writer_that_a_full_disk_stops_within_the_seal_gives_the_same_bytes(tmp_path, monkeypatch):
    items, clips = features(4), list("abcd")
    write(tmp_path / "whole.h5", items, clips)
    pwrite = os.pwrite

    def full(descriptor, data, offset):
        if bytes(data[:4]) == SEAL[:4]:
            pwrite(descriptor, data[:7], offset)
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, data, offset)

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr("os.pwrite", full)
        write(tmp_path / "full.h5", items, clips)
    assert write(tmp_path / "full.h5", items, clips) == 4
    assert (tmp_path / "full.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize(
    "text", ["a feats.1.h5:0\nb feats.1.h5:2\n", "a feats.1.h5\nb feats.1.h5:1\n", "a feats.1.h5:0\nb feats.1.h5:0\n"]
)
def test_check_dump_removes_a_list_of_wrong_rows_and_keeps_the_shard(tmp_path, text):
    write(tmp_path / "feats.1.h5", features(2), ["a", "b"])
    (tmp_path / "wav.scp").write_text("a /a.wav\nb /b.wav\n")
    for name in ("feats.scp", "feats.1.scp"):
        (tmp_path / name).write_text(text)
    assert "rows of 'feats.1.h5'" in check_dump(tmp_path)[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["feats.1.h5", "wav.scp"]


def test_check_dump_reports_the_fault_of_a_shard_whose_list_is_feats_scp(tmp_path):
    write(tmp_path / "feats.h5", features(2), ["a", "b"])
    (tmp_path / "wav.scp").write_text("a /a.wav\nb /b.wav\n")
    (tmp_path / "feats.scp").write_text("a feats.h5:0\nb feats.h5:1\n")
    (tmp_path / "feats.h5").write_bytes(b"")
    assert "feats.h5: damaged" in check_dump(tmp_path)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["wav.scp"]


def test_check_dump_keeps_the_features_of_other_sets(tmp_path):
    for folder, clips in (("weak", "ab"), ("pseudo", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wav.scp").write_text("".join(f"{clip} /x.wav\n" for clip in clips))
    write(tmp_path / "weak" / "feats.1.h5", features(2), ["a", "b"])
    (tmp_path / "pseudo" / "feats.scp").write_text("b ../weak/feats.1.h5:1\n")
    assert check_dump(tmp_path / "pseudo") == []
    assert (tmp_path / "weak" / "feats.1.h5").exists() and (tmp_path / "pseudo" / "feats.scp").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e9])
def test_features_that_are_not_finite_in_float16_are_refused(tmp_path, value):
    items = [item.astype(np.float32) for item in features(2)]
    items[1][3, 2] = value
    with pytest.raises(UserError, match=r"clip b: not finite \(replace the recording\)$"):
        write(tmp_path / "feats.1.h5", items, ["a", "b"])
    assert not (tmp_path / "feats.1.h5").exists()
