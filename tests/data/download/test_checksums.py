"""Stored checksums of files: they count until the file changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sed.data.download.checksums import checksum, forget, is_checked, remember


@pytest.mark.parametrize(("kind", "program"), [("md5", "md5sum"), ("sha256", "sha256sum")])
def test_checksums_equal_those_of_the_systems_programs(tmp_path: Path, kind: str, program: str) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom((1 << 20) + 17))  # more than one block
    expected = subprocess.run([program, path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert checksum(path, kind) == f"{kind}:{expected}"


def test_a_note_holds_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(b"as it came")
    assert is_checked(path) == ""
    remember(path, "md5:0", "https://example.org/archive.zip")
    assert is_checked(path) == "md5:0"
    status = path.stat()
    path.write_bytes(b"as it came")  # the same size, another time
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert is_checked(path) == ""
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_checked(path) == "md5:0"
    path.write_bytes(b"another size")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_checked(path) == ""


def test_a_broken_note_does_not_count_and_forget_removes_notes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    remember(path, "md5:1", "")
    (note,) = (other for other in tmp_path.iterdir() if other != path)
    for text in ("", "{", "[]", "null", '{"size": 1}'):
        note.write_text(text)
        assert is_checked(path) == ""
    path.unlink()
    forget(path)
    forget(path)
    assert list(tmp_path.iterdir()) == [] and is_checked(path) == ""
