"""Unpacking of archives that may be damaged or malicious.

Only plain files and folders are unpacked, only below the given folder, and only up to limits of number and size. The
caller moves the content to its place once the whole archive was read. No symbolic link is written: a link to an earlier
file of the archive becomes a hard link to that file, any other is refused.
"""

from __future__ import annotations

import errno
import functools
import gzip
import io
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from sed.errors import UserError
from sed.files import replacing
from sed.progress import human

try:
    from lzma import LZMAError
except ImportError:  # Python was built without liblzma, and zipfile refuses the method
    LZMAError = EOFError  # type: ignore[misc,assignment]

BLOCK = 1 << 20  # bytes read at a time
# errors by which the packages, and the system given impossible offsets and names, report damaged archives
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, LZMAError, struct.error),
    *(EOFError, ValueError),
)
_ODD = {errno.EINVAL, errno.ENAMETOOLONG, errno.EOVERFLOW, None}  # None: raised by bz2, not by the system
_DIRECTORY = 1 << 23  # bytes; the directory at the end of a corpus's zip file is smaller
_HEADER = struct.Struct("<4s5H3L2H")  # of a member: signature, version, flags, method, time, date, CRC, sizes, lengths
# Bytes by which `directory_range` begins before the first entry found, as the signature of the one before may be
# damaged; entries are smaller.
_ENTRY = 1 << 10


@dataclass(frozen=True)
class Limits:
    """Limits beyond which an archive is refused; chosen by hand, above what corpora need."""

    entries: int = 1_000_000
    """number of files and folders"""
    ratio: float = 100.0
    """unpacked bytes per byte of the archive"""
    floor: int = 64 << 20
    """unpacked bytes that are always allowed"""
    name: int = 1000
    """characters of a name"""


class Refused(UserError):
    """The archive has content that no corpus needs and that may be malicious."""


@dataclass(frozen=True)
class _Entry:
    """A file, folder or link in an archive, as its header states it."""

    name: str
    kind: str  # file, folder or link
    size: int = 0
    target: str = ""
    open: Callable[[], IO[bytes]] | None = None


class _Progress(Protocol):
    def at(self, name: str, position: int) -> None: ...


def unpack(archive: Path, folder: Path, *, limits: Limits | None = None, progress: _Progress | None = None) -> int:
    """Unpack a .zip, .tar, .tar.gz or .tgz.

    Args:
        archive: the file.
        folder: where to unpack; an existing folder is replaced.
        limits: on number and size of the files; None: those of `Limits()`.
        progress: receives the number of unpacked bytes; None: no progress is shown.

    Returns:
        The number of files.

    Raises:
        UserError: the archive is of another kind, damaged or refused; then `folder` is removed again.
    """
    limits = limits or Limits()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        return _Unpacking(archive, folder, limits, progress).run()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, DAMAGE) or (isinstance(error, OSError) and error.errno in _ODD):
            raise UserError(f"{archive}: damaged archive: {error} (delete it, and download it again)") from None
        if isinstance(error, (NotImplementedError, RuntimeError)):  # a method or an encryption that zipfile lacks
            raise UserError(f"{archive}: {error} (repack it as .zip or .tar.gz)") from None
        raise


class _Unpacking:
    """Unpacking of one archive: what was written so far, and the limit."""

    def __init__(self, archive: Path, folder: Path, limits: Limits, progress: _Progress | None) -> None:
        self.archive = archive
        self.folder = folder
        self.limits = limits
        self.progress = progress
        self.most = max(limits.floor, int(limits.ratio * archive.stat().st_size))  # unpacked bytes
        self.written = 0
        self.files: set[str] = set()

    def run(self) -> int:
        for count, entry in enumerate(self._entries(), 1):
            if count > self.limits.entries:
                raise self._refuse(f"more than {self.limits.entries} entries")
            name = self._name(entry.name)
            if name in ("", ".") and entry.kind == "folder":
                continue
            place = self.folder / name
            if entry.kind == "folder":
                self._make(place)
            elif place.exists():
                raise self._refuse(f"'{name}' is in it twice")
            elif entry.kind == "link":
                self._link(place, name, entry)
            else:
                self._write(place, name, entry)
        return len(self.files)

    def _entries(self) -> Iterator[_Entry]:
        if self.archive.suffix == ".zip":
            return _zip_entries(self.archive, self._refuse)
        if self.archive.name.endswith((".tar", ".tar.gz", ".tgz")):
            return _tar_entries(self.archive, self._refuse, self.most)
        raise UserError(f"{self.archive}: not a kind of archive that can be unpacked (.zip, .tar, .tar.gz, .tgz)")

    def _refuse(self, why: str) -> Refused:
        return Refused(f"{self.archive}: refused: {why} (nothing of it was kept; get the archive from its publisher)")

    def _name(self, name: str) -> str:
        """Return the relative path of an entry; raise Refused unless it is a plain path below the folder."""
        shown = ascii(name[:80])
        odd = any(ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in name)  # control characters, or not UTF-8
        if odd or "\\" in name or len(name) > self.limits.name:
            raise self._refuse(f"a name that is not a plain path: {shown}")
        if name.startswith("/") or name[1:3] == ":/":
            raise self._refuse(f"an absolute path: {shown}")
        if ".." in name.split("/"):
            raise self._refuse(f"a path with '..': {shown}")
        return posixpath.normpath(name) if name else ""

    def _make(self, place: Path) -> None:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self._refuse(f"'{place.relative_to(self.folder)}' is a file and a folder") from None

    def _count(self, size: int, name: str) -> None:
        self.written += size
        if self.written > self.most:
            raise self._refuse(
                f"it unpacks to more than {human(self.most)}, {self.limits.ratio:.0f} times its own size, at '{name}'"
            )
        if self.progress is not None:
            self.progress.at(self.archive.name, self.written)

    def _write(self, place: Path, name: str, entry: _Entry) -> None:
        if self.written + entry.size > self.most:
            self._count(entry.size, name)  # refuses before anything is written
        self._make(place.parent)
        assert entry.open is not None
        left = entry.size
        with entry.open() as source, place.open("xb") as file:
            while block := source.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise self._refuse(f"'{name}' is longer than it declares")
                self._count(len(block), name)
                file.write(block)
        if left:
            raise UserError(f"{self.archive}: damaged archive: '{name}' ends early (download it again)")
        self.files.add(name)

    def _link(self, place: Path, name: str, entry: _Entry) -> None:
        target = entry.target
        if target.startswith("/") or posixpath.normpath(target).startswith(".."):
            raise self._refuse(f"the link '{name}' leads outside, to {target[:80]!a}")
        if target not in self.files:
            raise self._refuse(f"the link '{name}' leads to no file before it in the archive, {target[:80]!a}")
        self._make(place.parent)
        os.link(self.folder / target, place)
        self.files.add(name)


def _zip_entries(archive: Path, refuse: Callable[[str], Refused]) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as container:
        entries = container.infolist()
        # Entries that overlap (one compressed block listed many times) add up to more than the archive's size.
        if sum(entry.compress_size for entry in entries) > archive.stat().st_size:
            raise refuse("its entries overlap")
        for info in entries:
            # 3 is Unix, which stores a file's mode here; 0 if the kind is not known
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
            if info.flag_bits & 1:
                raise refuse(f"'{info.filename}' is encrypted")
            if info.is_dir():
                yield _Entry(info.filename, "folder")
            elif kind == stat.S_IFLNK:
                # 4096 bytes: Linux has no longer path
                target = container.open(info).read(4096).decode("utf-8", "replace")
                inside = target if target.startswith("/") else posixpath.join(posixpath.dirname(info.filename), target)
                yield _Entry(info.filename, "link", target=posixpath.normpath(inside))
            elif kind not in (0, stat.S_IFREG):
                raise refuse(f"'{info.filename}' is a device, a pipe or a socket")
            else:
                yield _Entry(info.filename, "file", info.file_size, open=functools.partial(container.open, info))


def _tar_entries(archive: Path, refuse: Callable[[str], Refused], most: int) -> Iterator[_Entry]:
    with archive.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        # Twice the limit of unpacked bytes, since headers count here, too; also stops archives with endless headers.
        stream = _Counted(gzip.GzipFile(fileobj=raw) if packed else raw, 2 * most, refuse)
        with tarfile.open(fileobj=stream, mode="r|") as container:
            for info in container:
                if info.issparse():
                    raise refuse(f"'{info.name}' is a sparse file")
                if info.isdir():
                    yield _Entry(info.name, "folder")
                elif info.issym():
                    target = info.linkname
                    inside = target if target.startswith("/") else posixpath.join(posixpath.dirname(info.name), target)
                    yield _Entry(info.name, "link", target=posixpath.normpath(inside))
                elif info.islnk():
                    yield _Entry(info.name, "link", target=posixpath.normpath(info.linkname))
                elif not info.isreg():
                    raise refuse(f"'{info.name}' is a device, a pipe or something else that is not a file")
                else:
                    yield _Entry(info.name, "file", info.size, open=functools.partial(_opened, container, info))
        while stream.read(BLOCK):  # to the end, where gzip compares its checksum
            pass


def _opened(container: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = container.extractfile(info)
    assert file is not None
    return file


class _Counted(io.RawIOBase):
    """A stream that raises Refused once more than `most` bytes were read from it."""

    def __init__(self, stream: io.BufferedIOBase, most: int, refuse: Callable[[str], Refused]) -> None:
        self.stream = stream
        self.left = most
        self.refuse = refuse

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(block)
        if self.left < 0:
            raise self.refuse("it unpacks to far more than its own size")
        return block


def directory_range(path: Path) -> tuple[int, int] | None:
    """Return the bytes (first, last + 1) of a zip file's directory and all after it, for `fetch` to download again.

    The range begins up to _ENTRY bytes earlier. None if the file is not a zip file or has no entries.

    The directory is found by the signature of its entries, since the record that states its position may be damaged. If
    packed data before it contain the signature by chance, the range is only longer.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"PK\3\4" and not zipfile.is_zipfile(path):
            return None
        begin = max(0, size - _DIRECTORY)
        file.seek(begin)
        first = file.read().find(b"PK\1\2")
    return None if first < 0 else (max(0, begin + first - _ENTRY), size)


def damaged_members(path: Path) -> list[tuple[int, int]]:
    """Return the byte ranges (first, last + 1) of the members of a zip file that do not match its directory.

    Empty if the directory cannot be read, or the damage is not covered by a checksum.
    """
    try:
        with zipfile.ZipFile(path) as container:
            entries = sorted(container.infolist(), key=lambda entry: entry.header_offset)
            ends = [entry.header_offset for entry in entries[1:]] + [container.start_dir]
            return [
                (entry.header_offset, end)
                for entry, end in zip(entries, ends, strict=True)
                if entry.header_offset < end and not (_fits_header(path, entry) and _reads(container, entry))
            ]
    except (*DAMAGE, OSError):
        return []


def _fits_header(path: Path, entry: zipfile.ZipInfo) -> bool:
    """Return whether a member's own header agrees with its entry in the directory; `zipfile` compares only names."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return False
    _, _, flags, method, time, date, checksum, packed, size, _, _ = _HEADER.unpack(header)
    year, month, day, hour, minute, second = entry.date_time
    stamp = (hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day)  # MS-DOS time and date
    if (flags, method, time, date) != (entry.flag_bits, entry.compress_type, *stamp):
        return False
    # Checksum and sizes follow a member that was packed as a stream (flag 8); large sizes are in an extra field.
    elsewhere = flags & 8 or 0xFFFFFFFF in (packed, size)
    return bool(elsewhere) or (checksum, packed, size) == (entry.CRC, entry.compress_size, entry.file_size)


def _reads(container: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Return whether a member can be read and has the directory's checksum."""
    try:
        with container.open(entry) as file:
            while file.read(BLOCK):
                pass
    except (*DAMAGE, NotImplementedError, RuntimeError, OSError):
        return False
    return True


def root_of(folder: Path, holds: Sequence[str]) -> Path:
    """Return the topmost folder in `folder`, itself included, that has an entry with one of the names `holds`.

    The archives of a corpus differ in the folders around their content.

    Raises:
        UserError: there is none, or two at the same depth.
    """
    level = [folder]
    while level:
        found = [place for place in level if any((place / name).exists() for name in holds)]
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]}: two folders with {' or '.join(holds)} (keep one)")
        if found:
            return found[0]
        level = [sub for place in level for sub in sorted(place.iterdir()) if sub.is_dir()]
    raise UserError(f"{folder.name}: no folder with {' or '.join(holds)} in it (not the archive that was expected)")


def merge(source: Path, place: Path) -> Iterable[Path]:
    """Move the content of `source` into `place`, merging folders that exist already, and yield the files' new paths.

    Nothing is moved before the result is iterated. Folders that do not exist yet are moved by one rename, unless
    `place` is on another disk. A move that was interrupted can be repeated.
    """
    place.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        target = place / entry.name
        if entry.is_dir() and target.is_dir():
            yield from merge(entry, target)
        else:
            if not entry.is_dir() and target.is_dir() and not target.is_symlink():
                raise UserError(f"{target}: is a folder, and a file of the archive (move it away)")
            # listed before the move: afterwards other threads may add files to the folder
            files = sorted(p.relative_to(entry) for p in entry.rglob("*") if p.is_file()) if entry.is_dir() else None
            try:
                move(entry, target)
            except OSError as error:
                if files is None or not (error.errno == errno.EXDEV or target.is_dir()):
                    raise
                yield from merge(entry, target)  # on another disk, or another thread has made the folder by now
                continue
            yield from [target] if files is None else [target / file for file in files]


def move(source: Path, target: Path) -> None:
    """Move a file, also to another disk, or a folder on one disk; `target` is replaced atomically."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV or source.is_dir():
            raise
        with replacing(target) as part:
            shutil.copyfile(source, part)
        source.unlink()
