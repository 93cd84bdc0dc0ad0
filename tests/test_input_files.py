"""Refusal of files that may have no end, are too large, or are not text or JSON; and of JSON of other shapes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sed import input_files
from sed.errors import UserError
from sed.input_files import MOST, Each, check_file, misfit, naming, read_bytes, read_json, read_text


def test_what_may_never_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name has room for 107 bytes
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    for name, kind in (("pipe", "pipe"), ("link", "pipe"), ("socket", "socket"), ("/dev/zero", "device")):
        with pytest.raises(UserError, match=rf"^{name}: a {kind}, not a file \(give a file\)$"):
            read_text(name)
    for name in (".", "missing", "pipe/below"):
        check_file(name)  # left to the caller's open


def test_the_pipe_of_a_shell_is_read() -> None:
    script = "import sys; from sed.input_files import read_text; print(read_text(sys.argv[1]))"
    command = ["bash", "-c", f"{sys.executable} -c '{script}' <(echo ready)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "ready"


@pytest.mark.thorough
def test_files_that_are_not_text_too_large_or_missing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"k\xfcche")
    with pytest.raises(UserError, match="not a text file"):
        read_text(path)
    with path.open("wb") as file:
        file.truncate(MOST + 1)
    with pytest.raises(UserError, match="more than 256 MB"):
        read_text(path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "missing")


@pytest.mark.parametrize("read", [read_text, read_bytes])
def test_the_limit_is_in_bytes_and_may_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], str | bytes]
) -> None:
    monkeypatch.setattr(input_files, "MOST", 4)
    (tmp_path / "most").write_bytes("éé".encode())
    assert read(tmp_path / "most") in ("éé", "éé".encode())
    (tmp_path / "more").write_bytes("ééa".encode())
    with pytest.raises(UserError, match=r"more: more than"):
        read(tmp_path / "more")


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "9" * 5000, "nul", "NaN", "[1e999]"])
def test_what_is_not_json_or_has_numbers_beyond_python_s_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^{path}: not JSON: .* \(score again\)$"):
        read_json(path, remedy="score again")


def test_errors_without_a_name_get_one(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, naming(tmp_path / "x"):
        raise OSError(5, "input/output error")
    assert caught.value.filename == str(tmp_path / "x")
    with pytest.raises(OSError) as caught, naming("x"):
        raise OSError(5, "input/output error", "y")
    assert caught.value.filename == "y"


def test_a_misfit_names_its_place() -> None:
    shape = {"clips": int, "names": [str], "rates": Each({"lr": (int, float)})}
    assert misfit({"clips": 1, "names": ["a"], "rates": {"x": {"lr": 0.1}, "y": {}}, "other": []}, shape) == ""
    assert misfit({"clips": True}, shape) == "clips is true"
    assert misfit({"names": ["a", None]}, shape) == "names[1] is null"
    assert misfit({"rates": {"x": {"lr": "1"}}}, shape) == 'rates.x.lr is "1"'
    assert misfit([], shape) == "it is []"


@pytest.mark.thorough
def test_bytes_are_read_from_files_up_to_the_limit_only(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"text")
    assert read_bytes(tmp_path / "small") == b"text"
    with pytest.raises(UserError, match=r"^/dev/zero: a device, not a file"):
        read_bytes("/dev/zero")
    with pytest.raises(OSError) as failure:
        read_bytes("/proc/self/mem")  # opens, but reading it at 0, where no process has memory, is an I/O error
    assert failure.value.filename == "/proc/self/mem"
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(UserError, match=rf"sparse: more than {MOST >> 20} MB"):
        read_bytes(tmp_path / "sparse")
