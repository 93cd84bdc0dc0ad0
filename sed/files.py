"""Files that are never half-written, and folders that only one run uses at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sed.errors import UserError


def sync_folder(folder: str | Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success sync it and rename it to `path`, else remove it.

    The temporary name is fixed (`.NAME.part`), so that a killed run leaves at most one, which the next overwrites;
    writers of one path hold a `lock`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def open_replacing(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only once it is whole."""
    with replacing(path) as part, part.open(mode, encoding=None if "b" in mode else "utf-8") as file:
        yield file


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` at once or not at all."""
    with open_replacing(path) as file:
        file.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON at once or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def lock(folder: str | Path, name: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold `folder` (made when missing), or what is called `name` in it, for this process.

    Raises:
        UserError: another run has it, and `wait` is not asked for.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / (f".{name}.lock" if name else ".lock")).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            held = f"{folder / name}: another run is using it"
            raise UserError(f"{held} (wait for it, or choose another {'name' if name else 'folder'})") from error
        yield
