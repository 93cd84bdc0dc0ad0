import numpy as np
import pytest
import soundfile

from sed.data.audio import read_audio
from sed.data.directory import write_scp
from sed.data.dump import BATCH, dump_shard
from sed.data.store import FeatureStore, check_dump
from sed.errors import UserError
from sed.features.logmel import FrontEnd


@pytest.fixture
def scp(tmp_path):
    """Write clips of three sample rates and three lengths; those of 2.3 s are cut to the 1.5 s of FRONT_END."""
    rng = np.random.default_rng(0)
    wavs = {}
    for i in range(BATCH + 5):
        rate = [16000, 16000, 44100, 8000][i % 4]
        seconds = [1.0, 1.0, 0.7, 2.3][i // 5 % 4]
        path = tmp_path / f"c{i:02d}.wav"
        soundfile.write(path, rng.normal(0, 0.1, (int(seconds * rate), 1 + i % 2)), rate)
        wavs[path.stem] = str(path)
    write_scp(tmp_path / "wav.scp", wavs)
    return tmp_path / "wav.scp"


FRONT_END = FrontEnd(mel_bins=16, clip_seconds=1.5)


def test_features_equal_those_of_the_front_end(tmp_path, scp):
    shard = tmp_path / "feats.1.h5"
    assert dump_shard(scp, shard, FRONT_END)
    shard.with_suffix(".scp").rename(tmp_path / "feats.scp")
    store = FeatureStore(tmp_path)
    assert store.front_end == FRONT_END.params() and store.frames == FRONT_END.clip_frames
    import torch

    for row, clip in enumerate(store.clips):
        sound = read_audio(tmp_path / f"{clip}.wav", 16000)[: FRONT_END.clip_samples]
        expected = FRONT_END(torch.from_numpy(sound)[None])[0].half().numpy()
        got = store.read([row])[0]
        assert store.valid[row] == len(expected)
        np.testing.assert_allclose(got[: len(expected)].astype(float), expected.astype(float), atol=2e-2)  # float16
        assert not got[len(expected) :].any()


def test_an_intact_shard_is_kept_and_a_damaged_one_made_again(tmp_path, scp):
    shard = tmp_path / "feats.1.h5"
    dump_shard(scp, shard, FRONT_END)
    good = shard.read_bytes()
    assert not dump_shard(scp, shard, FRONT_END)
    shard.with_suffix(".scp").unlink()  # killed between the shard and its list
    assert dump_shard(scp, shard, FRONT_END) and shard.with_suffix(".scp").exists()
    shard.write_bytes(good[:5000] + b"\xff" + good[5001:])
    assert dump_shard(scp, shard, FRONT_END) and shard.read_bytes() == good
    other = FrontEnd(mel_bins=8, clip_seconds=1.5)
    assert dump_shard(scp, shard, other) and shard.read_bytes() != good


def test_a_bad_file_is_named_and_finished_clips_are_kept(tmp_path, scp, log_lines):
    shard = tmp_path / "feats.1.h5"
    bad = tmp_path / "c20.wav"
    data = bad.read_bytes()
    bad.write_bytes(b"")
    with pytest.raises(UserError, match=r"c20\.wav: empty"):
        dump_shard(scp, shard, FRONT_END)
    assert not shard.exists() and (tmp_path / ".feats.1.h5.part").exists()
    soundfile.write(bad, np.zeros(100), 16000)
    with pytest.raises(UserError, match="too few for a frame"):
        dump_shard(scp, shard, FRONT_END)
    bad.write_bytes(data)
    dump_shard(scp, shard, FRONT_END)
    assert f"{shard}: continued after {BATCH} of {BATCH + 5} clips" in log_lines
    resumed = shard.read_bytes()
    shard.unlink()
    dump_shard(scp, shard, FRONT_END)
    assert shard.read_bytes() == resumed


def test_a_shard_whose_list_would_replace_the_list_of_audio_is_refused(scp):
    text = scp.read_text()
    with pytest.raises(UserError, match="would replace the list that is read"):
        dump_shard(scp, scp.with_suffix(".h5"), FRONT_END)
    assert scp.read_text() == text


@pytest.mark.parametrize("name", ["clips.scp", "feats.1"])
def test_a_shard_whose_list_would_replace_it_or_be_that_of_others_is_refused(tmp_path, scp, name):
    with pytest.raises(UserError, match=r"a shard's name ends in \.h5"):
        dump_shard(scp, tmp_path / name, FRONT_END)
    assert not (tmp_path / name).exists()


def test_check_dump_removes_what_is_damaged(tmp_path, scp):
    shard = tmp_path / "feats.1.h5"
    dump_shard(scp, shard, FRONT_END)
    listed = shard.with_suffix(".scp").read_text()
    (tmp_path / "feats.scp").write_text(listed)
    assert check_dump(tmp_path, {"mel_bins": 16, "f_min": 20, "clip_seconds": 1.5}) == []
    with pytest.raises(UserError, match="mel_bins is 16, not 64"):
        check_dump(tmp_path, {"mel_bins": 64, "clip_seconds": 1.5})
    with pytest.raises(UserError, match=r"clip_seconds is 1\.5, not 10\.0"):
        check_dump(tmp_path, {"mel_bins": 16})
    shard.write_bytes(shard.read_bytes()[:-50000])
    assert "damaged" in check_dump(tmp_path)[0]
    assert not shard.exists() and not (tmp_path / "feats.scp").exists()


def test_check_dump_removes_nothing_of_a_set_with_another_front_end_even_if_rows_are_wrong(tmp_path, scp):
    dump_shard(scp, tmp_path / "feats.1.h5", FRONT_END)
    dump_shard(scp, tmp_path / "feats.2.h5", FRONT_END)
    first, second = ((tmp_path / f"feats.{job}.scp").read_text() for job in (1, 2))
    (tmp_path / "feats.scp").write_text(first.replace(".h5:0", ".h5:9", 1) + second.replace("c", "d"))
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="mel_bins is 16, not 64"):
        check_dump(tmp_path, {"mel_bins": 64, "clip_seconds": 1.5})
    assert {path.name for path in tmp_path.iterdir()} == before
