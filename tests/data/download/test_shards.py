"""Recordings in tars, zip files and parquet tables: members in order, also of damaged shards."""

from __future__ import annotations

import io
import json
import pathlib
import random
import tarfile
import tracemalloc
import zipfile
from datetime import timedelta
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from faulty_server import webdataset, zipped

from sed.data.download import shards
from sed.data.download.shards import Damaged, is_shard, members, suffix_of
from sed.errors import UserError

SOUNDS = {f"Y{n:011d}_30.000_40.000.flac": bytes([n]) * (100 + n) for n in range(5)}


def read(path: Path) -> dict[str, bytes]:
    return {f"{one.key}{one.suffix}": one.read() for one in members(path) if one.suffix != ".json"}


def table(path: Path, columns: dict[str, list], rows: int = 2) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=rows)
    return path


def test_tars_compressed_or_not_and_zip_files_even_of_tars_are_read(tmp_path: Path) -> None:
    tar = webdataset(SOUNDS)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as container:
        for name, content in {**SOUNDS, "readme.txt": b"x", "._a.wav": b"x"}.items():
            info = tarfile.TarInfo(f"./deep/{name}")
            info.size = len(content)
            container.addfile(info, io.BytesIO(content))
    files = {
        "a.tar": tar,
        "a.tar.gz": packed.getvalue(),
        "a.zip": zipped({f"x/{k}": b for k, b in SOUNDS.items()}),
        "whole.zip": zipped({"wds-1.tar": tar, "note": b"", "__MACOSX/._wds-1.tar": b"\0\5\x16\7" * 100}),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert is_shard(tmp_path / name)
        assert read(tmp_path / name) == SOUNDS, name
    events = [json.loads(one.read()) for one in members(tmp_path / "a.tar") if one.suffix == ".json"]
    assert len(events) == 5 and events[0][0]["label"] == "Speech,Dog"
    assert not is_shard(tmp_path / "a.wav") and not is_shard(tmp_path / "a.gz")


def test_parquet_tables_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    ids, sounds = [f"{n:011d}" for n in range(5)], list(SOUNDS.values())
    hub = table(tmp_path / "hub.parquet", {"audio": [{"bytes": b, "path": k} for k, b in SOUNDS.items()]})
    assert [one.key for one in members(hub)] == [Path(name).stem for name in SOUNDS]
    assert [one.read() for one in members(hub)] == sounds
    timed = table(tmp_path / "timed.parquet", {"video_id": ids, "start_time": [30.0] * 5, "audio": sounds})
    assert [(one.key, one.read()) for one in members(timed)] == [
        (f"{i}_30.000", b) for i, b in zip(ids, sounds, strict=True)
    ]
    ends = table(
        tmp_path / "ends.parquet", {"id": ["Yabcdefghij_", "abcdefghij_"], "start": [30.0] * 2, "audio": [b"x"] * 2}
    )
    assert [m.key for m in members(ends)] == ["Yabcdefghij__30.000", "abcdefghij__30.000"]  # ids may end in _
    without = table(tmp_path / "without.parquet", {"video_id": ids[:2], "start": [None, 30.0], "audio": sounds[:2]})
    assert [one.key for one in members(without)] == [ids[0], f"{ids[1]}_30.000"]
    plain = table(tmp_path / "plain.parquet", {"YTID": ids, "flac": sounds, "label": ["x"] * 5})
    some = [one.read() for number, one in enumerate(members(plain)) if number % 3 == 0]
    assert some == [sounds[0], sounds[3]], "rows that nobody reads are passed over"
    none = table(tmp_path / "none.parquet", {"video_id": ids, "label": ["x"] * 5})
    with pytest.raises(UserError, match=r"none\.parquet: no column of audio, only video_id, label"):
        list(members(none))


@pytest.mark.parametrize("sound", ["a.wav", [0.1, 0.2], {"array": [0.1, 0.2], "sampling_rate": 16000}])
def test_a_table_of_paths_or_decoded_samples_is_refused(tmp_path: Path, sound: object) -> None:
    """Once, reading a row raised a TypeError, or the recording counted as empty."""
    path = table(tmp_path / "a.parquet", {"video_id": ["00000000001"], "audio": [sound]})
    with pytest.raises(UserError, match=r"a\.parquet: column 'audio' has .*, not audio files"):
        [one.read() for one in members(path)]


def test_a_row_group_that_is_read_in_several_batches_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "BATCH", 2)
    sounds = [bytes([n]) * 100 for n in range(10)]
    path = table(tmp_path / "a.parquet", {"id": [f"{n:011d}" for n in range(10)], "audio": sounds}, rows=5)
    assert [one.read() for one in members(path)] == sounds
    assert [one.read() for number, one in enumerate(members(path)) if number % 3 == 2] == sounds[2::3]


@pytest.mark.parametrize("start", ["00:30", timedelta(seconds=30), [30.0]])
def test_a_column_of_starts_that_are_no_numbers_is_named(start: object, tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"video_id": ["00000000001"], "start": [start], "audio": [b"x"]})
    with pytest.raises(UserError, match=r"a\.parquet: column 'start' has .*, not a number of seconds \(rename"):
        list(members(path))


def test_a_parquet_table_without_pyarrow_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"a\.parquet: parquet is read by pyarrow, which is not installed \(pip"):
        list(members(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.parquet"])
@pytest.mark.parametrize("content", [b"", b"no shard at all" * 100, None])
def test_damaged_shards_yield_the_members_before_the_damage(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        body = {"a.tar": webdataset(SOUNDS), "a.zip": zipped(SOUNDS)}.get(name, b"PAR1" + bytes(100))
        content = body[:4700] if name == "a.tar" else body[: len(body) * 2 // 3]  # within the third recording
    path.write_bytes(content)
    got = []
    with pytest.raises(Damaged, match=r"cannot be read to its end: .* \(download it again\)"):
        for one in members(path):
            got.append((one.suffix, one.read()))
    if name == "a.tar" and len(content) == 4700:
        assert [body for suffix, body in got if suffix == ".flac"] == list(SOUNDS.values())[:2]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_a_zip_in_another_method_is_called_so(tmp_path: Path, method: int) -> None:
    """Once, that of LZMA was a traceback."""
    content = bytearray(zipped({"00000000000_30.000_40.000.wav": random.Random(0).randbytes(10_000)}, method))
    content[5000] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Damaged, match=r"a\.zip: cannot be read to its end"):
        read(tmp_path / "a.zip")


def test_a_large_tar_is_not_kept_in_memory(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as container:
        for n in range(3000):
            info = tarfile.TarInfo(f"{n:011d}_30.000_40.000.wav")
            info.size = 2000
            container.addfile(info, io.BytesIO(bytes(2000)))
    tracemalloc.start()
    size = 0
    for one in members(tmp_path / "a.tar"):
        size += len(one.read())
        if size == 6_000_000:
            held = tracemalloc.take_snapshot()
    tracemalloc.stop()
    # pathlib interns names, for which the interpreter's table of names may grow by megabytes, whoever has filled it
    traces = held.filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
    # measured: 0.14 MB; 1.6 MB if tarfile keeps all headers
    assert sum(one.size for one in traces.statistics("filename")) < 700_000


def test_members_that_are_too_large_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGEST", 102)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as container:
        for name, content in SOUNDS.items():
            container.writestr(name, content)
    assert len(read(tmp_path / "a.zip")) == 3


def test_a_recording_without_a_suffix_gets_one_by_its_content() -> None:
    assert suffix_of(b"\0\0\0\x20ftypM4A ") == ".m4a"
    assert suffix_of(b"\x1a\x45\xdf\xa3rest") == ".webm"
    assert suffix_of(b"fLaC") == suffix_of(b"RIFF") == ".wav"
