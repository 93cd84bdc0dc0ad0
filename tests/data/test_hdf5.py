"""Untrusted HDF5 files: read in a child process whose failure is an error of one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from sed.data import hdf5
from sed.data.hdf5 import created, plain, read_apart, text_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["values"] = np.arange(6, dtype="<f4").reshape(2, 3)
        file["names"] = np.array(["é", "b"], dtype=object)
        file["group/inside"] = 1
    return tmp_path / "a.h5"


def test_the_result_of_the_child_is_returned(path: Path) -> None:
    read = read_apart(path, lambda file: {"sum": float(plain(file, "values", "<f4", 2)[()].sum())})
    assert read == {"sum": 15.0}
    assert read_apart(path, lambda file: {"names": text_of(plain(file, "names", "text", 1))}) == {"names": ["é", "b"]}


@pytest.mark.thorough
def test_any_end_of_the_child_is_one_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: h5py.File) -> dict[str, object]:
        raise RuntimeError("two\nlines")

    def crash(_: h5py.File) -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGSEGV)
        return {}

    def devour(_: h5py.File) -> dict[str, object]:
        return {"size": len(bytearray(2 * hdf5.MEMORY))}

    def recurse(file: h5py.File) -> dict[str, object]:
        return recurse(file)

    def spin(_: h5py.File) -> dict[str, object]:
        while True:
            pass

    monkeypatch.setattr(hdf5, "SECONDS", 1)
    for read, message in (
        (fail, "two lines"), (crash, "crashes"), (devour, "memory"), (recurse, "recursion"), (spin, "not read within"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message) as error:
            read_apart(path, read)
        assert "\n" not in str(error.value)
    (path.parent / "b.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=r"[Uu]nable to"):
        read_apart(path.parent / "b.h5", lambda _: {})


@pytest.mark.parametrize("limit", ["-v 900000", "-t 30"])  # KiB beyond what is used, seconds
def test_a_file_is_read_under_limits_that_the_user_has_set(path: Path, limit: str) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from sed.data.hdf5 import read_apart\n"
        "option, number = sys.argv[2:]\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "bound = int(number) if option == '-t' else used + 1024 * int(number)\n"
        "kind = resource.RLIMIT_CPU if option == '-t' else resource.RLIMIT_AS\n"
        "resource.setrlimit(kind, (bound, bound))\n"
        "print(read_apart(Path(sys.argv[1]), lambda file: {'rows': len(file['values'])}))\n"
    )
    command = [sys.executable, "-c", code, path, *limit.split()]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout == "{'rows': 2}\n", run.stderr


def test_only_plain_datasets_pass(path: Path) -> None:
    with h5py.File(path) as file:
        assert plain(file, "values", "<f4", 2).shape == (2, 3)
        for name, dtype, dimensions, message in (
            ("none", "<f4", 2, "no none"), ("group", "<f4", 2, "not a dataset"), ("values", "<f4", 1, "2 dimensions"),
            ("values", "<f8", 2, "float32"), ("values", "text", 2, "float32"), ("names", "<f4", 1, "object"),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=message):
                plain(file, name, dtype, dimensions)
        with pytest.raises(ValueError, match="chunks of None"):
            plain(file, "values", "<f4", 2, by_row=True)


@pytest.mark.thorough
def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    """Run in a child process: once, closing a file after a failed write ended the process by SIGSEGV."""
    code = f"""
import resource, numpy as np
from pathlib import Path
from sed.data.scores import Scores, write_scores
resource.setrlimit(resource.RLIMIT_FSIZE, ({{size}}, {{size}}))
zeros = np.zeros((9, 100, 3), np.float32)
scores = Scores(clips=list("abcdefghi"), labels=list("xyz"), frame=zeros, clip=zeros[:, 0], frame_seconds=0.1)
try:
    write_scores(Path({str(tmp_path)!r}) / "s.h5", scores)
except OSError as error:
    print(error.filename, error.errno)
"""
    for size in (0, 100, 1000, 6000):
        done = subprocess.run([sys.executable, "-c", code.format(size=size)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), size
        assert done.stdout == f"{tmp_path / 's.h5'} {errno.EFBIG}\n"
    assert not list(tmp_path.iterdir())


def test_a_file_written_through_python_is_read_by_hdf5(tmp_path: Path) -> None:
    with created(tmp_path / "a", libver="v110") as file:
        file.attrs["x"] = 1
        file["values"] = np.arange(5000.0)
    with h5py.File(tmp_path / "a", "r") as file:
        assert file.attrs["x"] == 1 and np.array_equal(file["values"], np.arange(5000.0))
        offset = file["values"].id.get_offset()
    assert np.array_equal(np.fromfile(tmp_path / "a", "<f8", 5000, offset=offset), np.arange(5000.0))
