"""Recordings in shards (webdataset tars, zip files, parquet tables), read one after the other without unpacking.

A member's key is its file's name without suffix, or comes from the columns that name a table's row. A zip file may
contain tars.
"""

from __future__ import annotations

import functools
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from sed.data.download.archive import DAMAGE
from sed.data.recordings import SUFFIXES
from sed.errors import UserError

LARGEST = 256 << 20  # bytes; larger files in an archive are skipped (ten seconds of audio have about 2 MB)
BATCH = 16  # rows of a parquet table that are decoded at a time
VIDEO_ID = 11  # characters of a YouTube id
# Names of the columns of a parquet table, in lower or upper case, that have the key, the start in the video in seconds,
# and the audio; if a table has several, the earlier name counts.
KEYS = (
    *("segment_id", "ytid", "youtube_id", "yt_id", "video_id", "videoid"),
    *("filename", "file_name", "file", "fname", "__key__", "key", "name", "id", "index"),
)
STARTS = ("start", "start_time", "start_seconds", "start_time_seconds", "start_s", "start_sec")
SOUNDS = ("audio", "flac", "wav", "mp3", "ogg", "m4a", "bytes", "sound")
# OSError is also pyarrow's of a damaged table; the last two are zipfile's and pyarrow's for what they cannot read, such
# as encrypted files.
_DAMAGE = (*DAMAGE, OSError, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """A file in a shard."""

    key: str
    suffix: str
    """in lower case; "" in a parquet table"""
    read: Callable[[], bytes]
    """returns the content, empty if a table's row has no audio; only valid until the next member is requested"""


class Damaged(UserError):
    """A shard that cannot be read to its end."""


def is_shard(path: Path) -> bool:
    """Return whether a file's name is that of a shard."""
    return any(path.name.lower().endswith(end) for end in READERS)


def members(path: Path) -> Iterator[Member]:
    """Yield the recordings in a shard and the .json files beside them, in order.

    Raises:
        Damaged: the shard ends early or is malformed; the members before the damage were yielded.
        UserError: it is a parquet table, and pyarrow is not installed, no column has audio files, or the starts are no
            numbers.
    """
    reader = next(read for end, read in READERS.items() if path.name.lower().endswith(end))
    with _naming(path):
        for member in reader(path):
            yield member._replace(read=functools.partial(_named, path, member.read))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Raise errors of the packages over damaged shards as Damaged, with the shard's name."""
    try:
        yield
    except _DAMAGE as error:
        raise Damaged(
            f"{path}: cannot be read to its end: {error or type(error).__name__} (download it again)"
        ) from None


def _named(path: Path, read: Callable[[], bytes]) -> bytes:
    """Call `read`; its errors name the shard."""
    with _naming(path):
        return read()


def _file(name: str, size: int, read: Callable[[], bytes]) -> Iterator[Member]:
    """Yield a file in an archive if it is a recording or a .json of annotations."""
    file = Path(name)
    if file.suffix.lower() in (*SUFFIXES, ".json") and not file.name.startswith(".") and size <= LARGEST:
        yield Member(file.stem, file.suffix.lower(), read)


def _tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r:") as container:  # seekable, unlike "r|": members that are not read are skipped
        yield from _tar_members(container)


def _packed_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r|gz") as container:
        yield from _tar_members(container)


def _tar_members(container: tarfile.TarFile) -> Iterator[Member]:
    for info in container:
        container.members = []  # type: ignore[attr-defined]  # otherwise tarfile keeps all headers in memory
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
            if Path(info.filename).name.startswith("."):  # such as macOS's ._a.tar, which is no tar
                continue
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
        # Mapped, and not read ahead: a page may be a whole row group, which pyarrow then holds once instead of twice
        # (measured with 300 MB: 347 MiB instead of 633).
        with pyarrow.parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as table:
            yield from _rows(path, table)
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{path}: cannot be read to its end: {reason} (download it again)") from None


def _rows(path: Path, table: Any) -> Iterator[Member]:
    """Yield the rows of a parquet table; without a column of keys, the path in the column of audio is the key."""
    columns = {name.lower(): name for name in table.schema_arrow.names}
    key, start, sound = (
        next((columns[name] for name in names if name in columns), "") for names in (KEYS, STARTS, SOUNDS)
    )
    if not sound:
        raise UserError(
            f"{path}: no column of audio, only {', '.join(table.schema_arrow.names)} (rename it to '{SOUNDS[0]}')"
        )
    kind = str(table.schema_arrow.field(sound).type)
    if "binary" not in kind:  # a path, or decoded samples
        raise UserError(f"{path}: column '{sound}' has {kind}, not audio files (their content as bytes is expected)")
    paths = [] if key else [f"{sound}.path"]
    for group in range(table.num_row_groups):
        rows = table.read_row_group(group, columns=[name for name in (key, start) if name] + paths).to_pylist()
        sounds = _Sounds(table, group, sound)
        for number, row in enumerate(rows):
            name = Path(str(row[key] if key else (row.get(sound) or {}).get("path") or ""))
            stem = name.stem if name.suffix.lower() in SUFFIXES else name.name
            # The start is added unless the name has times after the id. A Y before an id, as in AudioSet's file names,
            # leaves the id's last character after the first eleven: the last _ of `Yabcdefghij_` is the id's own.
            if start and row[start] is not None and "_" not in stem[VIDEO_ID:].rstrip("_"):
                stem = f"{stem}_{_seconds(path, start, row[start]):.3f}"
            yield Member(stem, "", functools.partial(sounds.at, number))


def _seconds(path: Path, column: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):  # such as 00:30, or a duration
        raise UserError(
            f"{path}: column '{column}' has {value!r:.40}, not a number of seconds (rename it to leave it unread)"
        ) from None


class _Sounds:
    """The audio of a row group's rows, read in order; those of the last BATCH rows are kept."""

    def __init__(self, table: Any, group: int, column: str) -> None:
        self.batches = table.iter_batches(BATCH, row_groups=[group], columns=[column])
        self.first = 0
        self.rows: Any = []

    def at(self, number: int) -> bytes:
        """Return the audio file in row `number` of the group; rows before the last batch are gone."""
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
"""end of a shard's name -> its reader"""


def suffix_of(content: bytes) -> str:
    """Return a suffix by a recording's first bytes: .m4a or .webm, which libsndfile does not read, else .wav.

    libsndfile recognises formats by their content, so .wav serves for all others.
    """
    if content[4:8] == b"ftyp":
        return ".m4a"
    return ".webm" if content[:4] == b"\x1a\x45\xdf\xa3" else ".wav"
