"""Local copies of recordings, whatever their names."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from paths import KIT
from sounds import limited_files

from sed.data.download import audioset
from sed.data.download.audioset import Key, candidates, convert, index, named, read_sets, write_missing
from sed.errors import RunError, UserError

ID = "-Ab_Y9z0-_1"
YID = "Y0000000000"  # an id that begins with Y


def sound(path: Path, seconds: float = 0.1, value: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = 8000
    soundfile.write(path, np.full(int(seconds * rate), value), rate, format=None if path.suffix != ".m4a" else "WAV")
    return path


@pytest.mark.parametrize(
    ("stem", "keys"),
    [
        (f"Y{ID}_350.000_360.000", [(ID, 350_000)]),
        (f"{ID}_350.000_360.000", [(ID, 350_000)]),
        (f"{ID}_350_360", [(ID, 350_000)]),
        (f"Y{ID}_350000_360000", [(ID, 350_000)]),
        (f"{ID}_0_10000", [(ID, 0)]),
        (f"{ID}_0_10", [(ID, 0)]),
        (f"{ID}_0", [(ID, 0)]),
        (f"{ID}_350000", [(ID, 350_000_000), (ID, 350_000)]),
        (f"{ID}_30.000", [(ID, 30_000)]),
        (f"{ID}_12.345_22.345", [(ID, 12_345)]),
        (f"{ID}_8.190", [(ID, 8190)]),  # 1000 times 8.19 is less than 8190 in floating point
        (f"{ID}_100_199", [(ID, 100_000)]),
        (f"{ID}_100_200", [(ID, 100)]),
        (f"{ID}-350-360", [(ID, 350_000)]),
        (f"{YID}_30_40", [(YID, 30_000)]),
        (f"Y{YID}_30_40", [(YID, 30_000)]),
        (ID, [(ID, -1)]),
        (f"Y{ID}", [(ID, -1)]),
        ("1234", []),
        ("noise_of_a_kitchen_1", []),
    ],
)
def test_a_file_name_gives_its_possible_keys(stem, keys):
    assert candidates(stem) == [Key(*key) for key in keys]


def test_a_key_is_written_to_the_millisecond():
    """A note on a shard that was read depends on the text of the keys that were wanted."""
    assert [str(Key(ID, start)) for start in (0, 30_000, 1_234_567)] == [f"{ID} at {s} s" for s in (0, 30, 1234.567)]


def test_a_name_of_the_metadata_gives_one_key():
    assert named(f"Y{ID}_350.000_360.000.wav") == Key(ID, 350_000)
    assert named(f"Y{ID}_8.190_18.190.wav") == Key(ID, 8190)
    with pytest.raises(ValueError):
        named(f"Y{ID}.wav")
    assert named("1Ro0FgMWTUE_120_130.wav") == Key("1Ro0FgMWTUE", 120_000)
    with pytest.raises(ValueError):
        named("1000.wav")
    with pytest.raises(ValueError):  # once OverflowError, a traceback
        named(f"Y{ID}_{'9' * 400}_1.wav")
    assert candidates(f"{ID}_{'9' * 400}") == []


@pytest.mark.skipif(not (KIT / "desed_metadata").is_dir(), reason="no kit with the real metadata")
@pytest.mark.parametrize(
    ("name", "clips"), [("weak", 1578), ("unlabel_in_domain", 14412), ("validation", 1168), ("public", 692)]
)
def test_every_name_of_the_real_metadata_is_read(name, clips):
    lines = (KIT / "desed_metadata" / f"{name}.tsv").read_text().splitlines()[1:]
    names = {line.split("\t")[0] for line in lines}
    assert len({named(n) for n in names}) == len(names) == clips


def test_any_copy_is_found(tmp_path, log_lines):
    wanted = [Key(f"{i:011d}", 1000 * i) for i in range(1, 7)]
    places = [
        sound(tmp_path / "a" / "00000000001_1.000_11.000.wav"),
        sound(tmp_path / "a/deep/er" / "Y00000000002_2000_12000.flac"),
        sound(tmp_path / "b" / "00000000003_3.ogg"),
        sound(tmp_path / "b" / "Y00000000004_4_14.MP3"),
        sound(tmp_path / "b" / "00000000005.wav", seconds=9),
    ]
    sound(tmp_path / "b" / "Y00000000006.wav", seconds=30)  # the whole video
    sound(tmp_path / "b" / ".ipynb_checkpoints" / "00000000001_1_11.wav", value=0.1)
    sound(tmp_path / "b" / "._00000000002_2_12.wav", value=0.1)
    (tmp_path / "b" / "loop").symlink_to(tmp_path / "b")
    assert index([tmp_path / "a", tmp_path / "b"], wanted) == {k: [p] for k, p in zip(wanted, places, strict=False)}
    assert log_lines[-1] == (
        "1 files whose names have no times left out, the first "
        f"{tmp_path / 'b' / 'Y00000000006.wav'}: longer than 12 s: the whole video"
    )


def test_a_name_that_may_be_two_recordings_is_refused(tmp_path):
    sound(tmp_path / f"{ID}_30000.wav")
    assert len(index([tmp_path], [Key(ID, 30_000)])) == 1
    with pytest.raises(UserError, match=r"at 30(000)? s or .* at 30(000)? s"):
        index([tmp_path], [Key(ID, 30_000), Key(ID, 30_000_000)])


def test_all_copies_of_a_recording_are_found_in_the_order_of_folders(tmp_path):
    one = sound(tmp_path / "b" / f"{ID}_30_40.wav")
    other = sound(tmp_path / "a" / f"Y{ID}_30.000_40.000.wav", value=0.25)
    assert index([tmp_path / "b", tmp_path / "a"], [Key(ID, 30_000)]) == {Key(ID, 30_000): [one, other]}
    assert index([tmp_path], [Key(ID, 0)]) == {}


def test_missing_recordings_are_listed_with_the_reason(downloads):
    sets = read_sets(downloads / "table.tsv", downloads / "d")
    sound(downloads / "d/audio/v" / f"Y{ID}_30.000_40.000.wav")
    sound(downloads / "d/audio/w" / f"Y{ID}_30.000_40.000.wav").write_bytes(b"")  # what a power cut left
    assert write_missing(downloads / "missing.tsv", sets, lambda name: "gone" * name.startswith(YID)) == 2
    rows = [f"w\tY{ID}_30.000_40.000.wav\t", f"w\t{YID}_1_11.wav\tgone"]
    assert (downloads / "missing.tsv").read_text().splitlines() == ["set\tfilename\treason", *rows]


@pytest.fixture
def downloads(tmp_path):
    """A table of two sets that share a recording, and their metadata."""
    (tmp_path / "table.tsv").write_text(
        "# comment\nmetadata\taudio\nm/v.tsv\taudio/v\nm/w.tsv\taudio/w\nm/none.tsv\taudio/n\n"
    )
    metadata = tmp_path / "d" / "m"
    metadata.mkdir(parents=True)
    (metadata / "v.tsv").write_text(
        f"filename\tonset\toffset\tevent_label\nY{ID}_30.000_40.000.wav\t0\t1\tCat\nY{ID}_30.000_40.000.wav\t2\t3\tCat\n"
    )
    (metadata / "w.tsv").write_text(f"filename\nY{ID}_30.000_40.000.wav\n{YID}_1_11.wav\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "where"), [("name\nx\n", "v.tsv:1: "), (f"filename\nY{ID}_1_2.wav\nhello.wav\n", "v.tsv:3: 'hello.wav'")]
)
def test_broken_metadata_name_the_line(downloads, text, where):
    (downloads / "d" / "m" / "v.tsv").write_text(text)
    with pytest.raises(UserError, match=where):
        read_sets(downloads / "table.tsv", downloads / "d")


def test_metadata_may_begin_with_a_byte_order_mark(downloads):
    path = downloads / "d" / "m" / "v.tsv"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert [*read_sets(downloads / "table.tsv", downloads / "d")[0].names.values()] == [Key(ID, 30_000)]


def test_a_shard_beside_the_folders_has_no_files_of_its_own(tmp_path):
    place = sound(tmp_path / "a" / f"{ID}_30_40.wav")
    (tmp_path / "b.tar").touch()
    assert index([tmp_path / "b.tar", tmp_path / "a"], [Key(ID, 30_000)]) == {Key(ID, 30_000): [place]}


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        index([tmp_path / "nowhere"], [])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="converts by ffmpeg")
def test_a_relative_path_with_a_colon_is_converted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("copies:2024").mkdir()
    soundfile.write("copies:2024/a.flac", np.zeros(800), 8000)
    Path("copies:2024/a.flac").rename("copies:2024/a.m4a")
    assert convert(Path("copies:2024/a.m4a"), Path("copies:2024/a.wav")) == ""
    assert soundfile.info("copies:2024/a.wav").frames == 800


@pytest.fixture
def foreign(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(16000), 8000)
    return (tmp_path / "a.flac").rename(tmp_path / "a.m4a")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="converts by ffmpeg")
def test_a_disk_without_room_is_no_fault_of_the_copy(foreign, tmp_path):
    with limited_files(10_000), pytest.raises(RunError, match=r"a\.wav: ffmpeg cannot write it: exit -"):
        convert(foreign, tmp_path / "a.wav")
    foreign.write_bytes(b"no sound")
    assert convert(foreign, tmp_path / "a.wav") == "ffmpeg cannot read it"
    assert [path.name for path in tmp_path.iterdir()] == ["a.m4a"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="converts by ffmpeg")
def test_a_damaged_copy_is_not_converted_with_a_gap(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 80_000), 8000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    (tmp_path / "a.m4a").write_bytes(content)
    assert convert(tmp_path / "a.m4a", tmp_path / "a.wav") == "ffmpeg cannot read it"
    assert not (tmp_path / "a.wav").exists()


def test_a_copy_that_takes_too_long_is_left_out_with_the_time(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(audioset, "MOST_SECONDS", 0.1)
    assert convert(tmp_path / "a.m4a", tmp_path / "a.wav") == "ffmpeg needs more than 0.1 s"
