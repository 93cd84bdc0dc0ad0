"""Completeness of recordings in a watched folder, by a clock that the test sets."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from pathlib import Path

import pytest

from sed.prediction import arrivals as arrivals_module
from sed.prediction.arrivals import Arrivals, is_being_written


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def looking(folder: Path, clock: Clock) -> Arrivals:
    return Arrivals(folder, settle=2.0, patience=60.0, clock=clock)


def test_a_recording_is_complete_when_it_has_not_changed_for_some_seconds(tmp_path: Path, clock: Clock) -> None:
    arrivals = looking(tmp_path, clock)
    (tmp_path / "a.wav").write_bytes(b"x")
    assert arrivals.look({}) == []
    clock.now = 1.9
    (tmp_path / "a.wav").write_bytes(b"xy")
    assert arrivals.look({}) == []
    clock.now = 3.8  # 1.9 s since the change was seen
    assert arrivals.look({}) == []
    clock.now = 3.9
    assert arrivals.look({}) == ["a.wav"] == arrivals.look({})
    assert arrivals.look({"a.wav"}) == []


def test_folders_below_are_watched_and_other_and_hidden_files_are_not(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2.flac", "1.WAV", "notes.txt", ".hidden.wav", "3.wav.part"):
        (tmp_path / name).write_bytes(b"x")
    arrivals = looking(tmp_path, clock)
    arrivals.look({})
    clock.now = 2
    assert arrivals.look({}) == ["1.WAV", "b/2.flac"]


def test_a_replaced_recording_of_the_same_size_and_time_is_another(tmp_path: Path, clock: Clock) -> None:
    one, other = tmp_path / "a.wav", tmp_path / "other"
    one.write_bytes(b"x")
    other.write_bytes(b"y")
    for path in (one, other):
        os.utime(path, ns=(0, 0))
    arrivals = looking(tmp_path, clock)
    arrivals.look({})
    clock.now = 2
    other.replace(one)
    assert arrivals.look({}) == []


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="leases are Linux's")  # noqa: PTH110
def test_a_recording_that_is_open_for_writing_is_not_complete_however_long_it_rests(
    tmp_path: Path, clock: Clock
) -> None:
    arrivals = looking(tmp_path, clock)
    with (tmp_path / "a.wav").open("wb", buffering=0) as file:
        file.write(b"x")
        arrivals.look({})
        clock.now = 1000
        assert is_being_written(tmp_path / "a.wav")
        assert arrivals.look({}) == [] and arrivals.waiting({})
    assert arrivals.look({}) == ["a.wav"]
    with (tmp_path / "a.wav").open("rb"):  # a reader does not delay it
        assert arrivals.look({}) == ["a.wav"]


@pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="leases are Linux's")
@pytest.mark.parametrize("kind, expected", [("ext4", True), ("nfs4", False), ("cifs", False)])
def test_a_lease_that_a_network_drive_refuses_says_nothing_about_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, expected: bool
) -> None:
    """NFS 4 and SMB refuse every lease on a file that their server has not delegated, as if there were a writer."""
    (tmp_path / "a.wav").write_bytes(b"x")
    device = os.stat(tmp_path).st_dev  # noqa: PTH116
    number, mounts = f"{os.major(device)}:{os.minor(device)}", tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:0 / / rw - nfs4 other:/ rw\n29 1 {number} / /mnt rw,noatime shared:1 - {kind} x:/y rw\n")
    monkeypatch.setattr(arrivals_module, "_MOUNTS", mounts)

    def refused(_descriptor: int, command: int, _argument: int) -> int:
        if command == fcntl.F_SETLEASE:
            raise BlockingIOError(errno.EAGAIN, "refused")
        return 0

    monkeypatch.setattr(fcntl, "fcntl", refused)
    assert is_being_written(tmp_path / "a.wav") == expected


@pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="leases are Linux's")
def test_a_writer_that_opens_a_recording_while_it_is_checked_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    plain, received = fcntl.fcntl, []

    def with_writer(descriptor: int, command: int, argument: int) -> int:
        result = plain(descriptor, command, argument)
        if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with pytest.raises(BlockingIOError):
                os.open(tmp_path / "a.wav", os.O_WRONLY | os.O_NONBLOCK)
        return result

    monkeypatch.setattr(fcntl, "fcntl", with_writer)
    before = signal.signal(signal.SIGIO, lambda number, _: received.append(number))  # its default action is to kill
    try:
        assert not is_being_written(tmp_path / "a.wav")
    finally:
        signal.signal(signal.SIGIO, before)
    assert received == []


def test_what_cannot_be_read_is_tried_again_when_it_changes_and_given_up_on_when_it_does_not(
    tmp_path: Path, clock: Clock
) -> None:
    arrivals = looking(tmp_path, clock)
    (tmp_path / "a.wav").write_bytes(b"x")
    arrivals.look({})
    clock.now = 2
    assert arrivals.look({}) == ["a.wav"]
    arrivals.failed("a.wav", "a.wav: broken")
    assert arrivals.look({}) == [] and arrivals.given_up() == {}
    clock.now = 50
    (tmp_path / "a.wav").write_bytes(b"xy")
    assert arrivals.look({}) == []
    clock.now = 52
    assert arrivals.look({}) == ["a.wav"]
    arrivals.failed("a.wav", "a.wav: broken still")
    clock.now = 109.9
    assert arrivals.look({}) == [] and arrivals.given_up() == {}
    clock.now = 110
    assert arrivals.given_up() == {"a.wav": "a.wav: broken still"} and arrivals.given_up() == {}
    (tmp_path / "a.wav").unlink()
    assert arrivals.look({}) == [] and not arrivals.waiting({})
