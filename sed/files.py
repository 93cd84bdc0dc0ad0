"""Atomic writing of files, and locks of folders."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import json
import os
import platform
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sed.errors import UserError


def sync_folder(folder: str | Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut, where the system permits that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder may be unreadable though writable
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # such as a Windows share
            raise
    finally:
        os.close(descriptor)


# For names of temporary files: process ids are unique only on one machine, and several may write to a network folder.
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(r"\..+\.(\d+)-([0-9a-f]{8})-\d+\.part", re.DOTALL)
_numbers = itertools.count()
_cleared: set[Path] = set()
"""folders in which this process has removed temporary files of killed processes"""


def _temporary(path: Path) -> Path:
    """Return a path beside `path` with the process's id in its name, so that no other running process writes to it."""
    long = len(os.fsencode(path.name)) > 200  # file names are limited to 255 bytes, with what is added here
    name = f"{zlib.crc32(os.fsencode(path.name)):08x}" if long else path.name
    return path.with_name(f".{name}.{os.getpid()}-{_HOST}-{next(_numbers)}.part")


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file of `replacing`."""
    return bool(_TEMPORARY.fullmatch(name))


def _is_stale(name: str) -> bool:
    """Return whether a name is that of a temporary file whose writer ran on this machine and has ended."""
    found = _TEMPORARY.fullmatch(name)
    if not found or found[2] != _HOST:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def clear_stale(folder: Path) -> None:
    """Remove temporary files of killed writers from a folder, once per process: a folder may hold many files."""
    if folder in _cleared:
        return
    _cleared.add(folder)
    try:
        stale = [path for path in folder.iterdir() if _is_stale(path.name)]
    except (PermissionError, FileNotFoundError):  # a folder may be unreadable though writable, or missing
        return
    for path in stale:
        with suppress(PermissionError):  # another user's, in a folder such as /tmp where only owners remove files
            path.unlink(missing_ok=True)


def is_text(path: str | Path) -> bool:
    """Return whether a path is valid UTF-8; some libraries refuse others."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_device(path: Path) -> None:
    """Refuse to replace a device or a pipe: as root, `/dev/null` would become a regular file."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: not a file that can be replaced (choose another name)")


def check_outputs(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse files to write that are inputs, or two of which are the same; None and "-" (standard streams) are skipped.

    Raises:
        UserError: names the file.
    """
    read = {Path(path).resolve() for path in inputs if path and str(path) != "-" and Path(path).exists()}
    written: set[Path] = set()
    for path in outputs:
        if path is None or str(path) == "-":
            continue
        place = Path(path).resolve()
        if place in read:
            raise UserError(f"{path}: an input, which would be overwritten (write to another file or folder)")
        if place in written:
            raise UserError(f"{path}: two outputs would be written to this file (name another for one of them)")
        written.add(place)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`, else remove it.

    The temporary name is unique to this process, so that of two writers of one path the last wins completely; files
    left by a killed process are removed by the next one that writes in the folder.

    Raises:
        UserError: `path` is a device or a pipe.
        OSError: `path` is a folder, or cannot be written.
    """
    path = Path(path)
    refuse_device(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_stale(path.parent)
    part = _temporary(path)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # a read-only file system's would take the place of `error`
            part.unlink()
        if isinstance(error, OSError) and error.filename in (
            None,
            str(part),
        ):  # errors of a full disk have no file name
            error.filename, error.filename2 = str(path), None  # instead of the temporary name
        raise


@contextmanager
def open_replacing(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that gets its name only when it is complete.

    Text is written as UTF-8. Bytes of file names that are not valid UTF-8, which Python represents as surrogates, are
    written as escapes (`\\udcff`), which JSON parsers read.
    """
    encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
    with replacing(path) as part, part.open(mode, encoding=encoding, errors=errors) as file:
        yield file


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` at once or not at all."""
    with open_replacing(path) as file:
        file.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON at once or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


_held: set[IO[str]] = set()
"""lock files held by this process"""


def _drop_locks() -> None:
    """Close the lock files that a forked child inherits: it must not hold the locks after its parent has ended."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_drop_locks)


@contextmanager
def lock(folder: str | Path, name: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock for this process.

    Args:
        folder: the folder to lock, created if missing.
        name: what to lock within the folder; empty: the folder as a whole, independently of names in it.
        wait: wait for another process instead of raising.

    Yields:
        None, while the lock is held.

    Raises:
        UserError: another run holds the lock, and `wait` is False; or the file system has no locks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / (f".{name}.lock" if name else ".lock")).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            held = f"{folder / name}: another run is using it"
            raise UserError(f"{held} (wait for it, or choose another {'name' if name else 'folder'})") from error
        except OSError as error:  # such as a network drive that is mounted without locks
            raise UserError(
                f"{folder}: cannot be locked: {error.strerror} (choose a folder on another drive)"
            ) from error
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


_RENAME_EXCHANGE = 2  # from Linux's <linux/fs.h>
_AT_FDCWD = -100  # from Linux's <fcntl.h>: relative paths are relative to the current folder


def exchange(one: Path, other: Path) -> bool:
    """Exchange two files or folders atomically; return False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
