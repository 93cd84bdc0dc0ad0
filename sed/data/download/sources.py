"""Where the parts of a corpus are: a recipe's table of records, and what their hosts say of the files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from sed.data.download.fetch import Fetcher, Remote
from sed.errors import UserError
from sed.input_files import read_text

ZENODO = "https://zenodo.org"
HUGGING_FACE = "https://huggingface.co"
COLUMNS = ["part", "source", "file", "into", "holds"]
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Row:
    """One file of a part: where it is from, and where it (or, with `holds`, what it unpacks to) goes."""

    part: str
    source: str
    file: str
    into: str
    holds: tuple[str, ...] = ()
    instead: Row | None = None  # the row that stands in when this one cannot be had

    @property
    def page(self) -> str:
        """Where a person would download it."""
        kind, _, name = self.source.partition(":")
        return {"zenodo": f"{ZENODO}/records/{name}", "huggingface": f"{HUGGING_FACE}/{name}"}.get(kind, name)


def read_records(path: Path) -> dict[str, list[Row]]:
    """A table of records (local/*_records.tsv) as {part: its files}; UserError naming the line."""
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such table of records (see local/desed_records.tsv)") from None
    parts: dict[str, list[Row]] = {}
    header = False
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if not header:
            if fields != COLUMNS:
                raise UserError(
                    f"{path}:{number}: the columns are {' '.join(COLUMNS)}, tab-separated (see local/desed_records.tsv)"
                )
            header = True
            continue
        kind = fields[1].partition(":")[0] if len(fields) == len(COLUMNS) else ""
        if kind not in ("zenodo", "huggingface", "or") or Path(fields[3]).is_absolute() or ".." in fields[3].split("/"):
            raise UserError(f"{path}:{number}: not a record (part, zenodo:|huggingface:|or:, file, place, holds)")
        part, source, file, into, holds = fields
        row = Row(part, source, file, into, () if holds == "-" else tuple(holds.split(",")))
        files = parts.setdefault(part, [])
        if kind == "or":
            if not files:
                raise UserError(
                    f"{path}:{number}: an 'or:' row stands in for the row of its part above it: there is none "
                    "(put it below one)"
                )
            files[-1] = Row(**{**vars(files[-1]), "instead": row})
        else:
            files.append(row)
    return parts


class Hosts:
    """What the hosts say of the rows' files; a host is asked once a record, unless asked afresh.

    mirror: the address of a server that stands for all hosts: it has their paths below its own.
    """

    def __init__(self, fetcher: Fetcher, mirror: str = "") -> None:
        self.fetcher = fetcher
        self.mirror = mirror.rstrip("/")
        self._listings: dict[str, dict[str, Remote]] = {}

    def ask(self, row: Row) -> Callable[[bool], Remote]:
        """The function that `Fetcher.fetch` wants for this row."""

        def remote(fresh: bool) -> Remote:
            kind, _, name = row.source.partition(":")
            if kind == "or":
                return Remote(self._at(name))
            known = self._listings.setdefault(row.source, {})
            for _ in range(2):  # a name may have come damaged
                if fresh or row.file not in known:
                    listing = {"zenodo": self._zenodo, "huggingface": self._hugging_face}[kind](name)
                    known.update(listing)
                    fresh = row.file not in listing
            if row.file not in known:
                raise UserError(
                    f"{row.page}: has no file {row.file}, only {', '.join(sorted(known)) or 'none'} (correct the table)"
                )
            return known[row.file]

        return remote

    def _at(self, url: str) -> str:
        if not self.mirror:
            return url
        parts = urlsplit(url)
        return f"{self.mirror}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def _zenodo(self, record: str) -> dict[str, Remote]:
        def parse(answer: Any) -> dict[str, Remote]:
            return {
                str(f["key"]): _remote(
                    self._at(f"{ZENODO}/records/{record}/files/{quote(f['key'])}?download=1"), f["size"], f["checksum"]
                )
                for f in answer["files"]
            }

        return self.fetcher.json(self._at(f"{ZENODO}/api/records/{record}"), parse)

    def _hugging_face(self, model: str) -> dict[str, Remote]:
        def parse(answer: Any) -> dict[str, Remote]:
            return {
                str(f["path"]): _remote(
                    self._at(f"{HUGGING_FACE}/{model}/resolve/main/{quote(f['path'])}"),
                    f["size"],
                    f"sha256:{f['lfs']['oid']}",
                )
                for f in answer
                if f.get("lfs")
            }

        return self.fetcher.json(self._at(f"{HUGGING_FACE}/api/models/{model}/tree/main"), parse)


def _remote(url: str, size: Any, checksum: str) -> Remote:
    if not isinstance(size, int) or size < 0 or not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"size {size!r}, checksum {checksum!r}")
    return Remote(url, size, checksum)
