"""Files that are never half-written, by one writer, by two at once, and after a kill."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from kills import at_once, forked, kill_at_every_call
from sounds import limited_files

from sed import files
from sed.errors import UserError
from sed.files import exchange, lock, open_replacing, replacing, write_json, write_text


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    with pytest.raises(ValueError), open_replacing(tmp_path / "a") as file:
        file.write("two")
        raise ValueError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "one")]


def test_names_of_any_length_that_the_system_takes(tmp_path: Path) -> None:
    for name in ("é" * 127, "x" * 255):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"
    with pytest.raises(OSError) as error:
        write_text(tmp_path / ("x" * 256), "text")
    assert error.value.errno == errno.ENAMETOOLONG


@pytest.mark.thorough
def test_of_two_writers_at_once_one_file_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows"

    def write(letter: str) -> int:
        with open_replacing(path) as file:
            for _ in range(20):
                file.write(letter * 999 + "\n")
                file.flush()
                time.sleep(0.001)
        return 0

    for _ in range(20):
        assert at_once([lambda letter=letter: write(letter) for letter in "ab"]) == [0, 0]
        text = path.read_text()
        assert text in ("".join((letter * 999 + "\n") * 20) for letter in "ab")
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.thorough
def test_killed_at_any_call_the_next_writer_clears_what_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def write() -> int:
        write_text(folder / "a", "text")
        return 0

    def check(call: int) -> None:
        assert [path.name for path in folder.iterdir()] == ["a"], call
        assert (folder / "a").read_text() == "text"

    assert kill_at_every_call(write, lambda: None, check, folder) >= 3  # at least: list the folder, open, rename


def test_a_living_writer_s_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replacing(tmp_path / "a") as part:
        part.write_text("one")
        monkeypatch.setattr(files, "_cleared", set())  # the forked writer looks for stale files, as a new process does
        assert forked(lambda: write_text(tmp_path / "a", "two") or 0) == 0
        assert part.exists()
    assert (tmp_path / "a").read_text() == "one"


def test_a_drive_that_cannot_flush_folders_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a", "one")
    assert (tmp_path / "a").read_text() == "one"


def test_a_drive_without_locks_is_not_taken_for_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_file: object, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=r"cannot be locked: No locks available \(.+\)$"), lock(tmp_path):
        raise AssertionError


def test_a_lock_is_refused_in_one_line_and_freed_by_a_kill(tmp_path: Path) -> None:
    ready, done = os.pipe()

    def hold() -> int:
        with lock(tmp_path, "a"):
            os.write(done, b"x")
            time.sleep(60)
        return 0

    child = os.fork()
    if not child:
        os._exit(hold())
    os.close(done)  # so that the read ends if the child does
    os.read(ready, 1)
    with pytest.raises(UserError, match="a: another run is using it"), lock(tmp_path, "a"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock(tmp_path, "a"):
        pass


def test_folders_exchange_their_names(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot")
    assert (tmp_path / "a" / "b").exists() and (tmp_path / "b" / "a").exists()
    with pytest.raises(OSError) as error:
        exchange(tmp_path / "a", tmp_path / "none")
    assert error.value.errno == errno.ENOENT


def test_a_pipe_is_not_replaced(tmp_path):
    """The same check keeps root from replacing the device by `--out /dev/null`."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: not a file that can be replaced \(choose another name\)"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()


def test_bytes_of_file_names_that_are_not_utf8_are_escaped_in_json(tmp_path):
    write_json(tmp_path / "x.json", {"model": os.fsdecode(b"k\xfcche")})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"model": "k\udcfcche"}


def test_a_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", str(tmp_path), "/"):
        with pytest.raises(IsADirectoryError) as failure:
            write_text(name, "text")
        assert failure.value.filename == str(Path(name))


def test_the_error_of_a_full_disk_names_the_file_that_is_written(tmp_path: Path) -> None:
    with limited_files(100), pytest.raises(OSError) as failure, open_replacing(tmp_path / "a", "wb") as file:
        file.write(bytes(100_000))
    assert failure.value.filename == str(tmp_path / "a") and not list(tmp_path.iterdir())
