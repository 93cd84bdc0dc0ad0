"""The hosts of records: where a person finds a record, and what a host's API says of the files and terms of one.

A new host is one entry of HOSTS. `Hosts` asks them, once a record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from sed.data.download.fetch import Fetcher, Remote
from sed.errors import RunError, UserError

if TYPE_CHECKING:
    from sed.data.download.sources import Row

ZENODO = "https://zenodo.org"
HUGGING_FACE = "https://huggingface.co"
GITHUB = "https://github.com"
GITHUB_API = "https://api.github.com"
ARCHIVE = "files-archive"
"""the file of a Zenodo record that is a zip file of all others, packed while it is sent"""
AGREEING = 8  # listings that are asked for, until two that follow each other agree
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|git:[0-9a-f]{40}")
Files = dict[str, Remote]


class Api:
    """Asks a host's API, or the mirror that stands for all hosts: it has their paths below its own."""

    def __init__(self, fetcher: Fetcher, mirror: str) -> None:
        self.fetcher = fetcher
        self.mirror = mirror.rstrip("/")

    def at(self, url: str) -> str:
        """Return where an address of a host's is asked."""
        if not self.mirror:
            return url
        parts = urlsplit(url)
        return f"{self.mirror}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def json(self, url: str, parse: Callable[[Any], Any]) -> Any:
        """Return what `parse` makes of the JSON at a host's address."""
        return self.fetcher.json(self.at(url), parse)

    def pages(self, url: str, parse: Callable[[Any], Files]) -> Files:
        """Return what `parse` makes of a listing's pages, together."""
        files: Files = {}
        for page in self.fetcher.pages(self.at(url), parse, self.at):
            files |= page
        return files


@dataclass(frozen=True)
class Host:
    """A kind of record. page: its address for people; files: lists a folder's files; terms: reads its licence."""

    page: Callable[[str], str]
    files: Callable[[Api, str, str], Files]
    terms: Callable[[Api, str], str]
    name: re.Pattern[str]


def _remote(url: str, size: Any, checksum: str | None, holds: Mapping[str, Remote] | None = None) -> Remote:
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size {size!r}")
    if checksum is not None and not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"checksum {checksum!r}")
    return Remote(url, size, checksum, holds)


def _plain(name: Any) -> str:
    """Return a file's name of a listing; ValueError for one that is no plain path inside a folder."""
    path = PurePosixPath(name)
    odd = any(ord(c) < 32 or c == "\\" or "\ud800" <= c <= "\udfff" for c in name)
    if odd or path.is_absolute() or ".." in path.parts or str(path) != name or len(name) > 1000:
        raise ValueError(f"a file called {name!r:.80}")
    return str(name)


def _zenodo(api: Api, record: str, folder: str) -> Files:
    del folder  # a record has none
    address = f"{ZENODO}/records/{record}/files"

    def parse(answer: Any) -> Files:
        files = {
            _plain(f["key"]): _remote(api.at(f"{address}/{quote(f['key'])}?download=1"), f["size"], f["checksum"])
            for f in answer["files"]
        }
        whole = Remote(api.at(f"{ZENODO}/api/records/{record}/{ARCHIVE}"), holds=dict(files))
        return files | {ARCHIVE: whole}

    files: Files = api.json(f"{ZENODO}/api/records/{record}", parse)
    return files


def _hugging_face(api: Api, name: str, folder: str) -> Files:
    kind = "" if name.startswith("datasets/") else "models/"

    def parse(answer: Any) -> Files:
        return {
            _plain(f["path"]): _remote(
                api.at(f"{HUGGING_FACE}/{name}/resolve/main/{quote(f['path'])}"),
                f["size"],
                f"sha256:{f['lfs']['oid']}" if f.get("lfs") else f"git:{f['oid']}",
            )
            for f in answer
            if {"file": True, "directory": False}[f["type"]]
        }

    below = f"/{quote(folder)}?recursive=true" if folder else ""
    return api.pages(f"{HUGGING_FACE}/api/{kind}{name}/tree/main{below}", parse)


def _github(api: Api, name: str, folder: str) -> Files:
    del folder  # a release has none
    repository, _, tag = name.partition("@")
    address = f"{GITHUB}/{repository}/releases/download/{quote(tag)}"

    def parse(answer: Any) -> Files:
        return {
            _plain(f["name"]): _remote(api.at(f"{address}/{quote(f['name'])}"), f["size"], f.get("digest"))
            for f in answer["assets"]
        }

    files: Files = api.json(f"{GITHUB_API}/repos/{repository}/releases/tags/{quote(tag)}", parse)
    return files


def _zenodo_terms(api: Api, record: str) -> str:
    def parse(answer: Any) -> str:
        about = answer["metadata"]
        return f'"{about["title"]}", licence {(about.get("license") or {}).get("id") or "not stated"}'

    return str(api.json(f"{ZENODO}/api/records/{record}", parse))


def _hugging_face_terms(api: Api, name: str) -> str:
    def parse(answer: Any) -> str:
        card = answer.get("cardData") or {}
        named = [tag.partition(":")[2] for tag in answer.get("tags") or [] if tag.startswith("license:")]
        return f"licence {card.get('license') or ', '.join(named) or 'not stated'}"

    kind = "" if name.startswith("datasets/") else "models/"
    return str(api.json(f"{HUGGING_FACE}/api/{kind}{name}", parse))


def _github_terms(api: Api, name: str) -> str:
    def parse(answer: Any) -> str:
        return f"licence {(answer.get('license') or {}).get('spdx_id') or 'not stated'}"

    return str(api.json(f"{GITHUB_API}/repos/{name.partition('@')[0]}", parse))


def _github_page(name: str) -> str:
    repository, _, tag = name.partition("@")
    return f"{GITHUB}/{repository}/releases/tag/{tag}"


_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
HOSTS = {
    "zenodo": Host(lambda name: f"{ZENODO}/records/{name}", _zenodo, _zenodo_terms, re.compile(r"[0-9]+")),
    "huggingface": Host(
        lambda name: f"{HUGGING_FACE}/{name}",
        _hugging_face,
        _hugging_face_terms,
        re.compile(rf"(datasets/)?{_PART}/{_PART}"),
    ),
    "github": Host(_github_page, _github, _github_terms, re.compile(rf"{_PART}/{_PART}@[^@\s]+")),
}
"""{kind of source: its host}: a row's source is <kind>:<name of a record>"""


def host_of(source: str) -> tuple[Host, str]:
    """Return a source's host, and the record's name there; KeyError for no such host."""
    kind, _, name = source.partition(":")
    return HOSTS[kind], name


class Listing(NamedTuple):
    """Files of one record, or of a folder of it."""

    source: str
    folder: str


class Hosts:
    """The hosts' statements about the rows' files; a host is asked once per record, unless asked to refresh.

    mirror: address of a server that replaces all hosts, with their paths below its own.
    """

    def __init__(self, fetcher: Fetcher, mirror: str = "") -> None:
        self.fetcher = fetcher
        self.api = Api(fetcher, mirror)
        self._listings: dict[Listing, Files] = {}

    def ask(self, row: Row) -> Callable[[bool], Remote]:
        """Return the function by which `Fetcher.fetch` asks for this row."""

        def remote(fresh: bool) -> Remote:
            kind, _, name = row.source.partition(":")
            if kind == "or":
                return Remote(self.api.at(name))
            key = Listing(row.source, row.folder)
            known = self._listings.get(key, {})
            for _ in range(2):  # a name may have come damaged
                if fresh or row.file not in known:
                    listing = self._list(key)
                    known = self._listings[key] = {**known, **listing}
                    fresh = row.file not in listing
            if row.file not in known:
                names = [name for name in known if name != ARCHIVE]
                some = ", ".join(sorted(names)[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
                raise UserError(f"{row.page}: has no file {row.file}, only {some or 'none'} (correct the table)")
            return known[row.file]

        return remote

    def expand(self, row: Row) -> list[Row]:
        """Return a row for each file that a row's pattern fits; UserError when it fits none."""
        key = Listing(row.source, row.folder)
        for _ in range(AGREEING):  # one that came damaged might lack a file, and nothing would say so
            before, self._listings[key] = self._listings.get(key), self._list(key)
            if before == self._listings[key]:
                break
        else:
            raise RunError(f"{row.page}: {AGREEING} listings of it differ (run again later)")
        names = [name for name in self._listings[key] if name != ARCHIVE]
        if rows := [row.of(name) for name in sorted(names) if row.fits(name)]:
            return rows
        some = ", ".join(sorted(names)[:3]) + (" ..." if len(names) > 3 else "")
        raise UserError(f"{row.page}: has no file {row.file}, only {some or 'none'} (its layout differs)")

    def terms(self, row: Row) -> str:
        """Return the licence that a row's host states for the record, in a few words."""
        host, name = host_of(row.source)
        try:
            return " ".join(host.terms(self.api, name).split())[:300]
        except (RunError, UserError):
            return "licence not to be had"

    def _list(self, key: Listing) -> Files:
        host, name = host_of(key.source)
        return host.files(self.api, name, key.folder)
