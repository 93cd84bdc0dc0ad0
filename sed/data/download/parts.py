"""Parts of a corpus: files are found or downloaded, checked, unpacked and moved into the corpus's own layout.

The folder of the corpus also has `archives/`, the downloads, and `.<part>.done`, which is written last and lists the
files of a finished part.
"""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import queue
import shutil
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sed.data.download import archive
from sed.data.download.checksums import checksum, forget, is_checked, remember
from sed.data.download.fetch import Differs, Fetcher, partial, verify
from sed.data.download.hosts import Hosts
from sed.data.download.shards import is_shard
from sed.data.download.sources import Copy, Row
from sed.errors import RunError, UserError
from sed.files import replacing, write_json
from sed.progress import Meter, duration, human

log = logging.getLogger("sed.fetch")

LINE = 100e6  # bits/s, for which the time of a download is stated before it starts


class Parts:
    """Downloads parts into `folder`.

    archives: folders with files that the user has downloaded by hand. keep_archives: whether archives stay after
    unpacking. limits: of archives that are unpacked. copies: {part: terms} of the parts that are others' copies of the
    recordings: the corpus counts as complete without them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fetcher: Fetcher,
        hosts: Hosts,
        archives: Sequence[Path] = (),
        keep_archives: bool = True,
        limits: archive.Limits | None = None,
        copies: Mapping[str, Copy] | None = None,
    ) -> None:
        self.folder = folder
        self.fetcher = fetcher
        self.hosts = hosts
        self.archives = archives
        self.keep_archives = keep_archives
        self.limits = limits or archive.Limits()
        self.copies = copies or {}
        # Held while files are moved into the corpus: a folder that one part has just made, and not filled yet, could be
        # replaced by another's.
        self._placing = threading.Lock()
        self._fetching: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        """a lock per download: two parts may need the same archive"""
        self._unfinished: dict[str, Sequence[Row]] = {}
        """the parts that are not finished, whose downloads are not removed"""
        self._offline = False  # whether a host did not answer; then the others are not asked about the user's files

    def missing(self, parts: Mapping[str, Sequence[Row]]) -> dict[str, Sequence[Row]]:
        """Return the parts that are not finished; remove archives of the others that a killed run has left."""
        found = {part: rows for part, rows in parts.items() if not self._is_done(part, rows)}
        self._unfinished = found
        for part in parts.keys() - found.keys():
            self._drop_archives(parts[part])
        return found

    def get(self, parts: Mapping[str, Sequence[Row]], *, jobs: int = 3) -> None:
        """Get all parts, `jobs` at once; collect failures and raise a single error at the end.

        A part in `copies` that fails is logged, and is not an error.

        Raises:
            UserError: a failure that repeating cannot fix.
            RunError: all others; the message lists the missing files, and how to provide them by hand.
        """
        errors: dict[str, BaseException] = {}
        self._unfinished = dict(parts)
        ready = self._plan(parts, errors)
        tasks = {part: functools.partial(self._get, part, rows) for part, rows in ready.items()}
        _in_parallel(tasks, jobs, errors, self.fetcher.stop)
        self.fetcher.meter.close()
        for part, error in errors.items():
            log.error("%s: %s", part, " ".join(str(error).split()))
        for part in [part for part, error in errors.items() if isinstance(error, (RunError, UserError))]:
            if part in self.copies and not self.fetcher.stop.is_set():
                log.warning("%s: done without this copy (the same command asks for it again)", part)
                del errors[part]
        for error in errors.values():
            if not isinstance(error, RunError):
                raise error
        if errors:
            rows = [row for part in errors for row in parts[part] if self._local(row) is None]
            files = ", ".join(f"{row.archive if row.is_ambiguous else row.file} ({row.page})" for row in rows)
            raise RunError(
                f"{next(iter(errors.values()))}. Still to get: {', '.join(errors)}. Run again when the network is "
                f"back, or place {files} in a folder and give stage 0's script in local/ the option --archives FOLDER"
                + (", or --ast FILE for a checkpoint of yours" if "ast" in errors else "")
            )

    def _plan(self, parts: Mapping[str, Sequence[Row]], errors: dict[str, BaseException]) -> dict[str, Sequence[Row]]:
        """Return the files of the parts whose hosts answer; add the failures of the others to `errors`.

        Raises:
            UserError: there is not enough disk space for all parts.
        """
        needed, ready = 0, dict[str, Sequence[Row]]()  # needed: bytes of disk space
        for part, named in parts.items():
            try:
                rows = [one for row in named for one in self._expand(row)]
                asked: list[tuple[str, int, int]] = []
                sizes = [local.stat().st_size if (local := self._local(row)) else self._ask(row, asked) for row in rows]
                # space for the unpacked content, or for recordings extracted from shards: about the size of the
                # archive, since compression hardly shrinks audio
                is_copy = part in self.copies
                unpacked = [row.holds or (is_copy and is_shard(Path(row.file))) for row in rows]
                needed += sum(size for size, twice in zip(sizes, unpacked, strict=True) if twice)
                if is_copy:
                    self._say_terms(part, rows, sum(sizes))
                for download in asked:
                    self.fetcher.meter.expect(*download)
                ready[part] = rows
            except (RunError, UserError) as error:
                errors[part] = error
        left = sum(self.fetcher.meter.left().values())
        needed += left
        if (free := shutil.disk_usage(self.folder).free) < needed:
            raise UserError(
                f"{self.folder}: about {human(needed)} needed for {', '.join(ready)}, {human(free)} free "
                f"(free some, choose another folder, or fewer --parts)"
            )
        if left:
            at = f"{duration(8 * left / LINE)} at {LINE / 1e6:.0f} Mbit/s"
            log.info("%s to download (%s), %s of disk needed, %s free", human(left), at, human(needed), human(free))
        return ready

    def _expand(self, row: Row) -> list[Row]:
        """Return one row per file that a row's pattern matches, by the user's archives if the host does not answer."""
        if "*" not in row.file:
            return [row]
        try:
            return self.hosts.expand(row)
        except RunError:
            pattern = row.file.rpartition("/")[2]
            by_hand = {path.name for folder in self.archives for path in folder.glob(pattern)}
            if not by_hand:
                raise
            return [row.of(f"{row.folder}/{name}" if row.folder else name) for name in sorted(by_hand)]

    def _say_terms(self, part: str, rows: Sequence[Row], size: int) -> None:
        """Log whose copy a part is and its terms, before it is downloaded."""
        host = self.hosts.terms(rows[0])
        terms = self.copies[part].terms
        log.info("%s: %s: %s; its record: %s; %d files, %s", part, rows[0].page, terms, host, len(rows), human(size))

    def _ask(self, row: Row, asked: list[tuple[str, int, int]]) -> int:
        """Return the size of a download in bytes (0: not known), and append to `asked` what the meter expects."""
        try:
            remote = self.hosts.ask(row)(False)  # False: not fresh, a listing that is known will do
            # a zip file that the host packs (`Remote.holds`) has no stated size, but an upper limit
            size = remote.size or (remote.most if remote.holds else 0)
        except (RunError, UserError):
            if row.instead is None:
                raise
            return 0
        part = partial(self._archive(row))
        asked.append((part.name, size, part.stat().st_size if part.exists() else 0))
        return size

    def _archive(self, row: Row) -> Path:
        return self.folder / "archives" / row.archive

    def _local(self, row: Row) -> Path | None:
        """Return the file of a row if it need not be downloaded: provided by the user, or downloaded and checked."""
        if by_hand := self._by_hand(row):
            return by_hand[1]
        return path if is_checked(path := self._archive(row)) else None

    def _by_hand(self, row: Row) -> tuple[Row, Path] | None:
        """Return a row, or its fallback, and its file in the folders of files that the user has downloaded by hand."""
        for folder in self.archives:
            for choice in filter(None, (row, row.instead)):
                names = (choice.archive, choice.file, Path(choice.file).name)
                for name in names[:1] if choice.is_ambiguous else names:
                    if (path := folder / name).is_file():
                        return choice, path
        return None

    def _marker(self, part: str) -> Path:
        return self.folder / f".{part}.done"

    def _is_done(self, part: str, rows: Sequence[Row]) -> bool:
        """Return whether a part's marker lists the files of its rows, and all placed files have their sizes."""
        try:
            note: dict[str, Any] = json.loads(self._marker(part).read_text())
            files = list(note["files"])
            wanted = [[one for one in (row, row.instead) if one] for row in rows]
            known = all(any(one.fits(name) for one in choices for name in files) for choices in wanted)
            known &= len(files) == len(rows) or any("*" in row.file for row in rows)
            lost = [path for path, size in note["placed"] if _size(self.folder / path) != size]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if known and lost:
            count = f"{len(lost)} of its {len(note['placed'])} files are"
            log.warning("%s: %s gone or changed, the first %s: made again", part, count, self.folder / lost[0])
        return known and not lost

    def _get(self, part: str, rows: Sequence[Row]) -> None:
        """Obtain, place and mark one part."""
        try:
            files: dict[str, str] = {}  # file -> checksum
            placed: list[Path] = []
            for row in rows:
                row, path, found = self._obtain(row)
                files[row.file] = found
                placed += self._place(part, row, path)
            os.sync()  # before the marker, so that after a power failure there is none without its files
            write_json(
                self._marker(part),
                {"files": files, "placed": [[str(p.relative_to(self.folder)), p.stat().st_size] for p in placed]},
            )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(f"{self.folder}: no space left for {part} (free some, and run again)") from None
            raise
        with self._placing:  # else two parts that finish at once might each leave a download to the other
            del self._unfinished[part]
            self._drop_archives(rows)
        log.info("%s: done, %d files", part, len(placed))

    def _drop_archives(self, rows: Sequence[Row]) -> None:
        """Remove the downloads of a finished part, except archives that are to be kept or that another part needs."""
        choices = [one for named in self._unfinished.values() for row in named for one in (row, row.instead) if one]
        needed = {self._archive(choice) for choice in choices}
        for row in rows:
            for choice in filter(None, (row, row.instead)):
                if choice.holds and self.keep_archives:
                    continue
                if "*" in choice.file:  # the files that a pattern matched are in a folder with the part's name
                    shutil.rmtree(self.folder / "archives" / choice.part, ignore_errors=True)
                    continue
                if self._archive(choice) in needed:
                    continue
                self._archive(choice).unlink(missing_ok=True)
                forget(self._archive(choice))

    def _obtain(self, row: Row) -> tuple[Row, Path, str]:
        """Find or download a row's file, or else its fallback; return the row of the file, its path and checksum."""
        if by_hand := self._by_hand(row):
            return *by_hand, self._check(*by_hand)
        path = self._archive(row)
        try:
            self._fetch(row, path)
        except (RunError, UserError) as error:
            instead = row.instead
            if instead is None:
                raise
            log.info("%s: %s: trying %s", row.file, error, instead.source)
            row, path = instead, self._archive(instead)
            try:
                self._fetch(row, path)
            except (RunError, UserError) as second:
                raise type(error)(f"{error}; {second}") from None
            if path.suffix in (".pt", ".pth"):  # nobody states the checksum of a fallback
                _check_container(path)
        return row, path, is_checked(path)  # the checksum, which `_fetch` has stored

    def _fetch(self, row: Row, path: Path) -> None:
        with self._fetching[path]:
            self.fetcher.fetch(self.hosts.ask(row), path)

    def _check(self, row: Row, path: Path) -> str:
        """Return the checksum of a file from the user, compared with what its host states, if that answers."""
        if known := is_checked(path):
            return known
        try:
            if self._offline:
                raise RunError("no network")
            remote = self.hosts.ask(row)(False)
            found = verify(path, remote)
        except RunError:
            self._offline = True
            log.warning("%s: used unchecked: its host does not answer with size and checksum", path)
            return checksum(path, "md5")
        except Differs as error:
            raise UserError(f"{path}: is not the record's file: {error} (download it again)") from None
        if os.access(path.parent, os.W_OK):  # the checksum is stored beside the file
            remember(path, found, remote.url)
        return found

    def _place(self, part: str, row: Row, path: Path) -> list[Path]:
        """Put a file, or the content of an archive, into the corpus; return the paths of its files there."""
        place = self.folder / row.into
        if not row.holds:
            with self._placing:
                return self._place_file(path, place)
        staging = self.folder / f".{part}.unpacking"
        log.info("%s: unpacking %s", part, path.name)
        try:
            archive.unpack(path, staging, limits=self.limits, progress=Meter(f"unpack {path.name}"))
            try:
                root = archive.root_of(staging, row.holds)
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
            # Into the corpus's own folder, only what `holds` names is moved: not a README, for example.
            kept = set(row.holds) if row.into == "." else None
            for entry in root.iterdir():
                if kept is not None and entry.name not in kept:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            with self._placing:
                return list(archive.merge(root, place))
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _place_file(self, path: Path, place: Path) -> list[Path]:
        """Put a file into the corpus as `place`; return its path there."""
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and place.samefile(path):  # a hard link to the same file: rename would do nothing
            return [place]
        with replacing(place) as temporary:
            temporary.unlink(missing_ok=True)
            self._copy(path, temporary)
        return [place]

    def _copy(self, path: Path, place: Path) -> None:
        """Copy a file; a download becomes a hard link instead, if the file system supports that."""
        if path.is_relative_to(self.folder / "archives"):
            with suppress(OSError):
                os.link(path, place)
                return
        shutil.copyfile(path, place)


def _size(path: Path) -> int:
    """Return a file's size in bytes, -1 without a file."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _check_container(path: Path) -> None:
    """Raise UserError for a download that is not a whole checkpoint: PyTorch's are zip files, which have checksums."""
    try:
        with zipfile.ZipFile(path) as container:
            bad = container.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        bad = str(error)
    if bad:
        path.unlink()
        raise UserError(f"{path}: not a whole checkpoint: {bad} (pass a good one with --ast)")


def _in_parallel(
    tasks: Mapping[str, Callable[[], None]], jobs: int, errors: dict[str, BaseException], stop: threading.Event
) -> None:
    """Run tasks in daemon threads, so that an interrupt does not wait for a connection that stalls.

    Args:
        tasks: {name: function}.
        jobs: tasks at once.
        errors: where to add {name: error} of the tasks that fail.
        stop: set on an interrupt.
    """
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in tasks:
        waiting.put(name)

    def work() -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                tasks[name]()
            except BaseException as error:
                errors[name] = error

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(jobs, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        stop.set()
        raise
