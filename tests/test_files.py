"""Files that are never half-written, by one writer, by two at once, and after a kill."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
from kills import at_once, begin, ended, forked, kill_at_every_call
from sounds import limited_files

from sed import files
from sed.errors import UserError
from sed.files import check_outputs, exchange, lock, open_replacing, replacing, write_json, write_text


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    with pytest.raises(ValueError), open_replacing(tmp_path / "a") as file:
        file.write("two")
        raise ValueError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "one")]


def test_a_file_is_flushed_before_it_gets_its_name_and_the_folder_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may otherwise leave an empty file under the name, or the earlier one."""
    flush, flushed = os.fsync, []

    def fsync(descriptor: int) -> None:
        whole = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(whole.st_mode) else f"{whole.st_size} bytes"
        flushed.append((what, (tmp_path / "a").exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a", "text")
    assert flushed == [("4 bytes", False), ("folder", True)]


def test_missing_folders_of_a_file_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "x" / "y" / "a", "text")
    assert (tmp_path / "x" / "y" / "a").read_text() == "text"


def test_names_of_any_length_that_the_system_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1 << 22)  # the largest id on Linux
    monkeypatch.setattr(files, "_numbers", itertools.count(10**9))
    for name in ("é" * 127, *("x" * length for length in range(190, 256, 5))):
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


def left_by(process: int, host: str) -> str:
    """Return the name of a temporary file of a process of a host."""
    return f".a.{process}-{host}-0.part"


def test_only_files_of_ended_processes_of_this_machine_are_cleared_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process ids of another machine that writes to the same network folder mean nothing here."""
    dead = begin(lambda: 0)
    ended(dead)
    other = f"{int(files._HOST, 16) ^ 1:08x}"
    kept = {left_by(dead, other), left_by(os.getpid(), files._HOST), left_by(10**30, files._HOST), ".a.part", "b"}
    for name in {*kept, left_by(dead, files._HOST)}:
        (tmp_path / name).touch()
    write_text(tmp_path / "a", "text")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "a"}
    monkeypatch.setattr(Path, "iterdir", lambda _: pytest.fail("a folder of many files is listed at every write"))
    write_text(tmp_path / "a", "again")


def test_a_file_of_another_user_s_process_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / left_by(4711, files._HOST)).touch()

    def kill(_process: int, _signal: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "kill", kill)
    write_text(tmp_path / "a", "text")
    assert (tmp_path / left_by(4711, files._HOST)).exists()


def test_a_stale_file_that_another_writer_clears_at_the_same_time_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stale").touch()

    def look(name: str) -> bool:
        (tmp_path / name).unlink()
        return True

    monkeypatch.setattr(files, "_is_stale", look)
    write_text(tmp_path / "a", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_may_be_written_but_not_listed_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(os, "open", refuse)  # only folders are opened by it
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_a_stale_file_that_only_another_user_may_remove_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its owner may remove a file from /tmp."""
    (tmp_path / "stale").touch()
    remove = Path.unlink

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "stale":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        remove(path, missing_ok=missing_ok)

    monkeypatch.setattr(files, "_is_stale", lambda name: name == "stale")
    monkeypatch.setattr(Path, "unlink", unlink)
    write_text(tmp_path / "a", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"stale", "a"}


@pytest.mark.parametrize("number, is_written", [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_drive_that_cannot_flush_folders_takes_files_and_a_broken_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_written: bool
) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if is_written:
        write_text(tmp_path / "a", "one")
        assert (tmp_path / "a").read_text() == "one"
    else:
        with pytest.raises(OSError) as failure:
            write_text(tmp_path / "a", "one")
        assert (failure.value.errno, failure.value.filename) == (number, str(tmp_path / "a"))


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


def test_who_waits_for_a_lock_goes_on_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, asked, order = fcntl.flock, threading.Event(), []

    def ask(file: int, how: int) -> None:
        assert not how & fcntl.LOCK_NB
        asked.set()
        flock(file, how)

    def work() -> None:
        with lock(tmp_path, wait=True):
            order.append("second")

    other = threading.Thread(target=work)
    with lock(tmp_path):
        monkeypatch.setattr(fcntl, "flock", ask)
        other.start()
        assert asked.wait(30)
        order.append("first")
    other.join(30)
    assert order == ["first", "second"]


def test_names_in_a_folder_are_locked_each_by_itself(tmp_path: Path) -> None:
    with lock(tmp_path, "a"), lock(tmp_path, "b"), lock(tmp_path):
        for name in ("a", "b", ""):
            with pytest.raises(UserError, match="another run is using it"), lock(tmp_path, name):
                raise AssertionError


def test_a_forked_process_does_not_keep_a_lock_that_its_parent_has_freed(tmp_path: Path) -> None:
    (up, forked_now), (gate, opened) = os.pipe(), os.pipe()

    def work() -> int:
        os.close(opened)
        os.write(forked_now, b"x")
        return len(os.read(gate, 1))

    with lock(tmp_path):
        child = begin(work)
        os.read(up, 1)
    with lock(tmp_path):
        os.close(opened)
    assert ended(child) == 0


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


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL])
def test_a_system_that_cannot_exchange_names_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(files.ctypes, "get_errno", lambda: number)
    assert not exchange(tmp_path / "none", tmp_path / "other")


def test_a_pipe_is_not_replaced(tmp_path):
    """The same check keeps root from replacing the device by `--out /dev/null`."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: not a file that can be replaced \(choose another name\)"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()


def test_bytes_of_file_names_that_are_not_utf8_are_escaped_in_json(tmp_path):
    write_json(tmp_path / "x.json", {"model": os.fsdecode(b"k\xfcche")})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"model": "k\udcfcche"}


def test_json_has_letters_as_they_are_and_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"label": "Küche"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n "label": "Küche"\n}\n'
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            write_json(tmp_path / "y.json", {"score": number})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


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


def test_errors_name_the_file_that_was_to_be_written_instead_of_the_temporary_one(tmp_path: Path) -> None:
    def fail(path: Path, other: Path) -> OSError:
        with pytest.raises(OSError) as failure, replacing(path) as part:
            part.rename(other / "b") if other.name == "none" else other.read_bytes()
        return failure.value

    failure = fail(tmp_path / "a", tmp_path / "none")  # the name of what is renamed, and the new one
    assert (failure.filename, failure.filename2) == (str(tmp_path / "a"), None)
    assert fail(tmp_path / "a", tmp_path / "other").filename == str(tmp_path / "other")


def test_outputs_that_are_inputs_or_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("")
    (tmp_path / "link").symlink_to("read")
    check_outputs([tmp_path / "new", None, "-", "-"], [tmp_path / "read", tmp_path / "new", None, "-", ""])
    for output in ("read", "link", "../" + tmp_path.name + "/read"):
        with pytest.raises(UserError, match=f"{output}: an input, which would be overwritten"):
            check_outputs([tmp_path / "new", tmp_path / output], [tmp_path / "read"])
    with pytest.raises(UserError, match="x: two outputs would be written to this file"):
        check_outputs([tmp_path / "x", None, f"{tmp_path}/./x"])


def test_an_error_on_a_read_only_file_system_names_the_output_and_not_the_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="Read-only") as raised, open_replacing(tmp_path / "a.tsv"):
        pass
    assert raised.value.filename == str(tmp_path / "a.tsv")
