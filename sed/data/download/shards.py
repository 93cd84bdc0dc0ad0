"""Recordings in shards: webdataset tars, zip files and parquet tables, read in order, once, without being unpacked.

A member's key is its file's name less its suffix, or what a table's columns say of its row. A zip file may hold tars.
"""

from __future__ import annotations

import functools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from sed.data.recordings import SUFFIXES
from sed.errors import UserError

LARGEST = 256 << 20  # bytes of a member that is read; ten seconds have 2 MB
BATCH = 16  # rows of a parquet table that are in memory at once
# Columns that name a row, the first that there is, and those that say where in its video it starts.
KEYS = (
    *("segment_id", "ytid", "youtube_id", "yt_id", "video_id", "videoid"),
    *("filename", "file_name", "file", "fname", "__key__", "key", "name", "id", "index"),
)
STARTS = ("start", "start_time", "start_seconds", "start_time_seconds", "start_s", "start_sec")
SOUNDS = ("audio", "flac", "wav", "mp3", "ogg", "m4a", "bytes", "sound")
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


class Member(NamedTuple):
    """A file in a shard. `read` gives its content, only until the next member is asked for."""

    key: str
    suffix: str
    read: Callable[[], bytes]


class Damaged(UserError):
    """A shard that cannot be read to its end."""


def is_shard(path: Path) -> bool:
    """Return whether a file's name is that of a shard."""
    return any(path.name.lower().endswith(end) for end in READERS)


def members(path: Path) -> Iterator[Member]:
    """Yield the recordings in a shard and the .json files beside them, in order.

    Raises:
        Damaged: it ends early, or is none; what came before it has been yielded.
        UserError: a parquet table, and no pyarrow.
    """
    reader = next(read for end, read in READERS.items() if path.name.lower().endswith(end))
    with _naming(path):
        for member in reader(path):
            yield member._replace(read=functools.partial(_named, path, member.read))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make of what the packages raise over damaged shards a Damaged that names the shard."""
    try:
        yield
    except (*_DAMAGE, struct.error, RuntimeError) as error:
        raise Damaged(f"{path}: cannot be read on: {error or type(error).__name__} (get it again)") from None


def _named(path: Path, read: Callable[[], bytes]) -> bytes:
    with _naming(path):
        return read()


def _file(name: str, size: int, read: Callable[[], bytes]) -> Iterator[Member]:
    """Yield a file in an archive if it is a recording, or describes one."""
    place = Path(name)
    if place.suffix.lower() in (*SUFFIXES, ".json") and not place.name.startswith(".") and size <= LARGEST:
        yield Member(place.stem, place.suffix.lower(), read)


def _tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r:") as container:  # what nobody reads is passed over
        yield from _tar_members(container)


def _packed_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r|gz") as container:
        yield from _tar_members(container)


def _tar_members(container: tarfile.TarFile) -> Iterator[Member]:
    for info in container:
        container.members = []  # type: ignore[attr-defined]  # else it keeps every header
        if info.isreg():
            yield from _file(info.name, info.size, functools.partial(_extract, container, info))


def _extract(container: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = container.extractfile(info)
    content = file.read() if file else b""
    if len(content) != info.size:
        raise tarfile.ReadError(f"'{info.name}' ends early")
    return content


def _zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as container:
        for info in container.infolist():
            if info.filename.lower().endswith(".tar"):
                with container.open(info) as file:
                    yield from _inner_tar(file)
            elif not info.is_dir():
                yield from _file(info.filename, info.file_size, functools.partial(container.read, info))


def _inner_tar(file: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r|") as container:
        yield from _tar_members(container)


def _parquet(path: Path) -> Iterator[Member]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: parquet is read by pyarrow, which is not installed (pip install pyarrow)") from None
    try:
        with pyarrow.parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as table:
            yield from _rows(path, table)
    except pyarrow.ArrowException as error:
        raise Damaged(f"{path}: cannot be read on: {' '.join(str(error).split())[:200]} (get it again)") from None


def _rows(path: Path, table: Any) -> Iterator[Member]:
    columns = {name.lower(): name for name in table.schema_arrow.names}
    key, start, sound = (
        next((columns[name] for name in names if name in columns), "") for names in (KEYS, STARTS, SOUNDS)
    )
    if not sound:
        raise UserError(f"{path}: no column of audio, only {', '.join(table.schema_arrow.names)} (another layout)")
    paths = [] if key else [f"{sound}.path"]
    for group in range(table.num_row_groups):
        named = table.read_row_group(group, columns=[name for name in (key, start) if name] + paths).to_pylist()
        sounds = _Sounds(table, group, sound)
        for number, row in enumerate(named):
            name = Path(str(row[key] if key else (row.get(sound) or {}).get("path") or ""))
            stem = name.stem if name.suffix.lower() in SUFFIXES else name.name
            if start and "_" not in stem[11:]:
                stem = f"{stem}_{float(row[start]):.3f}"
            yield Member(stem, "", functools.partial(sounds.at, number))


class _Sounds:
    """The audio of a row group's rows, read in order, a few rows in memory at once."""

    def __init__(self, table: Any, group: int, column: str) -> None:
        self.batches = table.iter_batches(BATCH, row_groups=[group], columns=[column])
        self.first = 0
        self.rows: Any = []

    def at(self, number: int) -> bytes:
        while number >= self.first + len(self.rows):
            self.first += len(self.rows)
            self.rows = next(self.batches).column(0)
        value = self.rows[number - self.first].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        return bytes(content or b"")


READERS: dict[str, Callable[[Path], Iterator[Member]]] = {
    ".tar": _tar,
    ".tar.gz": _packed_tar,
    ".tgz": _packed_tar,
    ".zip": _zip,
    ".parquet": _parquet,
}
"""{end of a shard's name: what reads it}"""


def suffix_of(content: bytes) -> str:
    """Return the suffix of a recording that has none, by how it begins."""
    if content[4:8] == b"ftyp":
        return ".m4a"
    return ".webm" if content[:4] == b"\x1a\x45\xdf\xa3" else ".wav"  # libsndfile looks for itself
