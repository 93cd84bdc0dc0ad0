"""Published checkpoints by name: downloaded once into the user's cache, with size, checksum and licence shown.

A file is compared with the size and checksum that its host states, as in stage 0 (downloads), and with the table's
SHA-256. If neither host nor table has a checksum, the first download is trusted. In any case its SHA-256 is recorded
beside the file, unless the cache is read-only, so that later changes are found. SED_MIRROR names a server to use
instead of all hosts, with their paths.
"""

from __future__ import annotations

import csv
import functools
import logging
import os
from pathlib import Path
from typing import NamedTuple

from sed.checkpoints.pack_folder import sha256
from sed.data.download.checksums import is_checked
from sed.data.download.fetch import Fetcher
from sed.data.download.hosts import Hosts
from sed.data.download.sources import Row
from sed.errors import RunError, UserError
from sed.files import lock, write_text
from sed.progress import human

log = logging.getLogger("sed.fetch")

TABLE = Path(__file__).with_name("published_models.tsv")
UNKNOWN = "-"


class PublishedModel(NamedTuple):
    """Row of the table; `sha256` is UNKNOWN if it was not published."""

    name: str
    source: str
    file: str
    licence: str
    sha256: str

    @property
    def row(self) -> Row:
        """Row as in stage 0's tables, for the downloader; the file keeps its name."""
        return Row(self.name, self.source, self.file, self.file)


@functools.cache
def published_models() -> dict[str, PublishedModel]:
    """Return {name: row} of the table."""
    lines = (line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {row["name"]: PublishedModel(**row) for row in csv.DictReader(lines, delimiter="\t")}


def cache_of(name: str) -> Path:
    """Return the folder for a checkpoint of this name in the user's cache; UserError if the user has no home folder."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # HOME is not set, and passwd has no entry of the user id
        raise UserError(f"{name}: no home folder to keep it in (set HOME, or XDG_CACHE_HOME to a folder)") from None
    return cache / "ast-sed" / name.replace("/", "--")


def download(name: str) -> Path:
    """Return the file of a name, downloaded if it is not in the cache.

    Raises:
        RunError: its host cannot be reached; the message says what to place where.
        UserError: there is no cache folder (`cache_of`), the host has no such file, or the file's SHA-256 is not the
            published or recorded one.
    """
    model = published_models()[name]
    folder = cache_of(name)
    path = folder / model.file
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder, wait=True):  # trainings that start together
            if not path.exists():
                _fetch(model, path)
    _check(model, path)
    return path


def _fetch(model: PublishedModel, path: Path) -> None:
    mirror = os.environ.get("SED_MIRROR", "")
    hosts = Hosts(Fetcher(elsewhere="SED_MIRROR names another server"), mirror)
    ask = hosts.ask(model.row)
    try:
        remote = ask(False)  # False: not listed by the host again if that was done already
        size = "size not stated" if remote.size is None else human(remote.size)
        stated = remote.checksum or "no checksum stated by its host"
        log.info(
            "%s: %s of %s: %s, %s, licence %s", model.name, model.file, model.row.page, size, stated, model.licence
        )
        hosts.fetcher.fetch(ask, path)
    except RunError as error:
        raise RunError(
            f"{error}. Without a network: get {model.file} ({model.row.page}) elsewhere and place it in {path.parent}, "
            f"or give its path instead of '{model.name}'"
        ) from None


def _check(model: PublishedModel, path: Path) -> None:
    """Compare the file with the SHA-256 of the table or of an earlier run; record it at the first download."""
    recorded = path.with_name(f"{path.name}.sha256")
    known = recorded.read_text(encoding="utf-8", errors="replace").split()[:1] if recorded.exists() else []
    if known and is_checked(path):  # not modified since the download
        return
    found = sha256(path)
    if model.sha256 not in (UNKNOWN, found):
        raise UserError(f"{path}: SHA-256 {found}, {model.sha256} is published (remove the file, to download it again)")
    if known and known[0] != found:
        raise UserError(
            f"{path}: SHA-256 {found}, {known[0]} is recorded in {recorded} (remove the file, to download it again; "
            "both, if the published file has changed)"
        )
    if not known and os.access(path.parent, os.W_OK):  # else a cache that several machines share, for instance
        write_text(recorded, f"{found}  {path.name}\n")
        if model.sha256 == UNKNOWN:
            log.info("%s: SHA-256 %s is recorded, and compared from now on", path, found)
