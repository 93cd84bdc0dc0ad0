"""HDF5 files: checks of how datasets are stored, reading in a child process, and writing.

Only plain datasets are read: of the type that this project writes, stored in the file itself (no external storage, no
links to other files, no virtual datasets), without filters, and no larger than the file. A few changed bytes can crash
the HDF5 library. So scores.h5 is opened in a child process with limited memory and time (`read_apart`); shards of
features are not, since each recipe writes its own.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from sed.lifetime import end_with_parent

MEMORY = 1 << 30
"""bytes (1 GiB) of address space that the child may take beyond what its parent has: it reads clip ids, labels and
attributes; the parent reads the posteriors, without HDF5"""
SECONDS = 60
"""limit of the child's CPU time, far more than an intact file takes"""


def plain(file: h5py.File, name: str, dtype: str, dimensions: int, *, by_row: bool = False) -> h5py.Dataset:
    """Return a dataset, checking that it is stored as this project stores it.

    Args:
        file: open for reading.
        name: of the dataset.
        dtype: NumPy's name of the type, with its byte order; `text`: strings of fixed or variable length.
        dimensions: number of dimensions.
        by_row: whether it must be stored in chunks, one for each index of the first dimension; else contiguous.

    Returns:
        The dataset.

    Raises:
        ValueError: the file has no such dataset, or it is stored otherwise.
    """
    link = file.get(name, getlink=True)
    if link is None:
        raise ValueError(f"no {name} in it")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link to elsewhere")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is not a dataset")
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or dataset.is_virtual:
        raise ValueError(f"{name} is a virtual dataset")
    if properties.get_external_count():
        raise ValueError(f"{name} is stored in another file")
    if properties.get_nfilters():
        raise ValueError(f"{name} is compressed or filtered (h5repack -f NONE undoes that)")
    if dataset.ndim != dimensions or dataset.shape is None:
        raise ValueError(f"{name} has {dataset.ndim} dimensions, not {dimensions}")
    is_text = dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None
    if not (is_text if dtype == "text" else dataset.dtype == np.dtype(dtype) and dataset.dtype.str == dtype):
        raise ValueError(f"{name} is of type {dataset.dtype}, not {dtype}")
    if dataset.chunks != ((1, *dataset.shape[1:]) if by_row else None):
        raise ValueError(f"{name} is in chunks of {dataset.chunks}")
    claimed = dataset.size * dataset.id.get_type().get_size()  # of variable-length strings, only the references
    if claimed > os.fstat(file.id.get_vfd_handle()).st_size:
        raise ValueError(f"{name} claims {claimed} bytes, more than the file has")
    return dataset


class _Deferring:
    """File object for HDF5 output that hides failures from the library and keeps the first in `error`.

    If the library sees that a write failed, it crashes on closing its objects.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: memoryview) -> int:
        """Write all of `data`, or nothing after an earlier failure; return its size in any case."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int) -> int:
        """Truncate the file; keep a failure in `error`."""
        try:
            self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def __getattr__(self, name: str) -> Any:  # h5py also calls seek, tell, read, readinto and flush
        return getattr(self._file, name)


@contextmanager
def created(path: Path, **options: Any) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing; if a write fails, the error is raised only after the file is closed.

    Args:
        path: the file.
        options: further arguments of `h5py.File`.

    Raises:
        OSError: it could not be written.
    """
    with path.open("w+b", buffering=0) as raw:
        file = _Deferring(raw)
        with h5py.File(file, "w", **options) as hdf5:
            yield hdf5
        if file.error is not None:
            raise file.error


def text_of(dataset: h5py.Dataset) -> list[str]:
    """Return the strings of a dataset; raise ValueError if any is not UTF-8."""
    return [text.decode() if isinstance(text, bytes) else str(text) for text in dataset[()]]


def read_apart(path: Path, read: Callable[[h5py.File], dict[str, Any]]) -> dict[str, Any]:
    """Open an HDF5 file in a child process and return the result of `read` there, a dict of JSON values.

    The result is passed as JSON, since unpickling what a damaged process wrote could run code. The child is forked:
    `read` may be any function, and nothing is imported again.

    Raises:
        ValueError: the file cannot be opened, or `read` raised, crashed, took too much memory or too long.
    """
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        _answer(path, read, receive, send)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        answer = json.loads(text)
    except ValueError:
        raise ValueError(_why(code)) from None
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer["value"]


def _answer(path: Path, read: Callable[[h5py.File], dict[str, Any]], receive: int, send: int) -> None:
    """Read the file in the child process, send the result or the error as JSON, and exit; never returns."""
    code = 1
    try:
        os.close(receive)
        end_with_parent()
        faulthandler.disable()  # the parent reports the failure in one line
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # not the parent's handlers
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit(resource.RLIMIT_CPU, SECONDS)
        if (statm := Path("/proc/self/statm")).exists():  # Linux
            # field 1: address space in pages, of which the parent's libraries take most
            used = int(statm.read_text().split()[0]) * resource.getpagesize()
            _limit(resource.RLIMIT_AS, used + MEMORY)
        try:
            with h5py.File(path, "r") as file:
                text = json.dumps({"value": read(file)})
        except MemoryError:
            text = json.dumps({"error": "it asks for more memory than such a file needs"})
        except Exception as error:  # h5py does not document which exceptions it raises; the message becomes one line
            text = json.dumps({"error": " ".join(f"{error}".split())[:200] or type(error).__name__})
        with os.fdopen(send, "wb") as pipe:
            pipe.write(text.encode())
        code = 0
    finally:
        os._exit(code)


def _limit(kind: int, value: int) -> None:
    """Limit a resource of this process, to less than `value` if its hard limit is lower: raising that is forbidden."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _why(code: int) -> str:
    """Return why the child ended without an answer, by its exit code.

    When the CPU time is used up, the child gets SIGXCPU or SIGKILL, depending on the system, since its soft and hard
    limits are equal. SIGKILL is also what the system sends when memory runs out.
    """
    if code == -signal.SIGXCPU:
        return f"not read within {SECONDS} s of computing"
    if code == -signal.SIGKILL:
        return f"not read within {SECONDS} s of computing, or killed for lack of memory"
    return "it crashes the HDF5 library"
