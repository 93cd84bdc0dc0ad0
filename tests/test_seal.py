"""Checksums at the end of files: the bytes that they cover, and the errors for damage."""

from __future__ import annotations

import io
import json
import random
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from sed.files import write_json, write_text
from sed.seal import SIZE, Damaged, SealedWriter, crc_of, is_sealed, read_sealed_json, seal_file, sealed_json


def test_a_file_sealed_while_written_is_one_sealed_afterwards(tmp_path: Path) -> None:
    parts = [random.Random(0).randbytes(size) for size in (1, 0, 3_000_000, 77)]
    with (tmp_path / "a").open("wb") as file:
        writer = SealedWriter(file)
        for part in parts:
            assert writer.write(memoryview(part)) == len(part)
        writer.seal()
    (tmp_path / "b").write_bytes(b"".join(parts))
    assert not is_sealed(tmp_path / "b")
    for size in (0, SIZE - 1, SIZE):
        (tmp_path / "short").write_bytes(bytes(size))
        assert not is_sealed(tmp_path / "short")
    seal_file(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() and is_sealed(tmp_path / "b")


def test_a_checksum_in_pieces_is_that_of_the_whole_and_a_file_that_ends_early_is_damaged() -> None:
    data = random.Random(1).randbytes(2_500_000)
    file = io.BytesIO(data)
    assert crc_of(file, 2_000_000, crc_of(file, 300_000)) == zlib.crc32(data[:2_300_000])
    assert file.tell() == 2_300_000
    with pytest.raises(Damaged, match="cut while it was read"):
        crc_of(file, 200_001)


def test_every_bit_counts(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"some text")
    seal_file(path)
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        if bit // 8 < len(whole) - SIZE:
            with pytest.raises(Damaged):
                is_sealed(path)
        else:  # the line itself: another checksum, or none, which readers refuse where there has to be one
            with suppress(Damaged):
                assert not is_sealed(path)


def test_json_with_a_name_that_is_not_utf8_is_read_back(tmp_path: Path) -> None:
    path, value = tmp_path / "a.json", {"a": "\udcff.wav", "b": "\U0001f600"}
    write_text(path, sealed_json(value))
    assert read_sealed_json(path) == (value, True)
    write_json(path, value)
    assert read_sealed_json(path) == (value, False)


def test_json_is_read_back_and_every_bit_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"a": 1e-5, "b": ["é", None], "c": {"d": True}}
    path.write_text(sealed_json(value))
    assert read_sealed_json(path) == (value, True) and json.loads(path.read_text())["a"] == 1e-5
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            _, checked = read_sealed_json(path)
        except ValueError:  # Damaged is one
            continue
        assert checked is False, flipped
    for text in (json.dumps(value), json.dumps(json.loads(sealed_json(value)), indent=4)):  # as other tools write it
        path.write_text(text)
        assert read_sealed_json(path) == (value, None)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested"):
        read_sealed_json(path)
