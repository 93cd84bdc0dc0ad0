"""Hosts of downloads: the page of a record for people, and its files and licence according to the host's API.

A record is what a host publishes under one name: a Zenodo record, a repository of Hugging Face, a release on GitHub.
A new host is one entry of HOSTS. `Hosts` keeps the listings of files that it has requested.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
"""name of the zip file of all of a Zenodo record's files, which Zenodo packs while sending it"""
MOST_LISTINGS = 8
"""largest number of requests for a listing, until two in succession are equal; a damaged one might lack files"""
LONGEST_NAME = 1000
"""characters of a file's name; longer ones are refused"""
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}|git:[0-9a-f]{40}")
Files = dict[str, Remote]
"""{path of a file in its record: its address, size and checksum}"""


class Api:
    """Client of the hosts' APIs, or of a mirror: one server that has the paths of all hosts below its own."""

    def __init__(self, fetcher: Fetcher, mirror: str) -> None:
        self.fetcher = fetcher
        self.mirror = mirror.rstrip("/")

    def at(self, url: str) -> str:
        """Return the address that is requested instead of a host's: the same, or the mirror's."""
        if not self.mirror:
            return url
        parts = urlsplit(url)
        return f"{self.mirror}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def json(self, url: str, parse: Callable[[Any], Any]) -> Any:
        """Return `parse` of the JSON at a host's address."""
        return self.fetcher.json(self.at(url), parse)

    def pages(self, url: str, parse: Callable[[Any], Files]) -> Files:
        """Return the files of all pages of a listing; `parse` returns those of one page."""
        files: Files = {}
        for page in self.fetcher.pages(self.at(url), parse, self.at):
            files |= page
        return files


@dataclass(frozen=True)
class Host:
    """A host, as functions of a record's name there."""

    page: Callable[[str], str]
    """(name) -> address of the record's page for people"""
    files: Callable[[Api, str, str], Files]
    """(API, name, folder in the record) -> files below that folder"""
    terms: Callable[[Api, str], str]
    """(API, name) -> licence, in a few words"""
    name: re.Pattern[str]
    """form of a record's name"""


def _remote(url: str, size: Any, checksum: str | None) -> Remote:
    """Return a file with the size and checksum that an API states; ValueError if they are malformed."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size {size!r}")
    if checksum is not None and not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"checksum {checksum!r}")
    return Remote(url, size, checksum)


def _plain(name: Any) -> str:
    """Return a file's name from a listing, which is used as a path; ValueError unless it is a plain relative one."""
    path = PurePosixPath(name)
    # control characters, backslashes, and surrogates, which are not valid UTF-8
    odd = any(ord(c) < 32 or c == "\\" or "\ud800" <= c <= "\udfff" for c in name)
    named = bool(path.parts) and ".." not in path.parts  # `.` has no parts
    if odd or not named or path.is_absolute() or str(path) != name or len(name) > LONGEST_NAME:
        raise ValueError(f"a file called {name!r:.80}")
    return str(name)


def _zenodo_files(api: Api, record: str, folder: str) -> Files:
    del folder  # Zenodo's records have no folders
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


def _hugging_face_files(api: Api, name: str, folder: str) -> Files:
    kind = "" if name.startswith("datasets/") else "models/"

    def parse(answer: Any) -> Files:
        return {
            _plain(f["path"]): _remote(
                api.at(f"{HUGGING_FACE}/{name}/resolve/main/{quote(f['path'])}"),
                f["size"],
                # large files (LFS) have the SHA-256 of their content, small ones the id of their git blob
                f"sha256:{f['lfs']['oid']}" if f.get("lfs") else f"git:{f['oid']}",
            )
            for f in answer
            if {"file": True, "directory": False}[f["type"]]  # another type is an error (KeyError)
        }

    below = f"/{quote(folder)}" if folder else ""
    return api.pages(f"{HUGGING_FACE}/api/{kind}{name}/tree/main{below}?recursive=true", parse)


def _github_files(api: Api, name: str, folder: str) -> Files:
    """Return the files of a release; those of older releases have no digest (`sha256:<hex>`)."""
    del folder  # releases have no folders
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


_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # an owner or a repository
HOSTS = {
    "zenodo": Host(lambda name: f"{ZENODO}/records/{name}", _zenodo_files, _zenodo_terms, re.compile(r"[0-9]+")),
    "huggingface": Host(
        lambda name: f"{HUGGING_FACE}/{name}",
        _hugging_face_files,
        _hugging_face_terms,
        re.compile(rf"(datasets/)?{_WORD}/{_WORD}"),
    ),
    "github": Host(_github_page, _github_files, _github_terms, re.compile(rf"{_WORD}/{_WORD}@[^@\s]+")),
}
"""hosts by the first half of a source `<host>:<name of a record>`, as tables of records have it"""


def host_of(source: str) -> tuple[Host, str]:
    """Return the host of a source, and the record's name there; KeyError for an unknown host."""
    kind, _, name = source.partition(":")
    return HOSTS[kind], name


class Listing(NamedTuple):
    """Key of a listing: a record, and a folder in it ("": all of it)."""

    source: str
    folder: str


class Hosts:
    """Addresses, sizes and checksums of the files of rows (`sources.Row`), according to their hosts.

    The listing of a record's folder is kept; it is requested again where it may be damaged: until two are equal in
    `expand`, and in `ask` if it lacks the file, or if what it says on the file proved wrong.
    mirror: URL of a server to use instead of all hosts; paths on a host are appended to it.
    """

    def __init__(self, fetcher: Fetcher, mirror: str = "") -> None:
        self.fetcher = fetcher
        self.api = Api(fetcher, mirror)
        self._listings: dict[Listing, Files] = {}

    def ask(self, row: Row) -> Callable[[bool], Remote]:
        """Return the function that gives `Fetcher.fetch` the Remote of a row's file, listed again if `fresh`.

        It raises UserError if the record has no such file.
        """

        def remote(fresh: bool) -> Remote:
            kind, _, name = row.source.partition(":")
            if kind == "or":  # a fallback's address (`sources.Row.source`)
                return Remote(self.api.at(name))
            key = Listing(row.source, row.folder)
            known = self._listings.get(key, {})
            for _ in range(2):  # once more if the file is missing: its name may have arrived damaged
                if fresh or row.file not in known:
                    listing = self._list(key)
                    known = self._listings[key] = {**known, **listing}
                    fresh = row.file not in listing
            if row.file not in known:
                names = [name for name in known if name != ARCHIVE]
                shown = ", ".join(sorted(names)[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
                raise UserError(f"{row.page}: has no file {row.file}, only {shown or 'none'} (correct the table)")
            return known[row.file]

        return remote

    def expand(self, row: Row) -> list[Row]:
        """Return one row for each file of the record that matches a row's pattern.

        Raises:
            UserError: no file matches.
            RunError: no two listings in succession are equal.
        """
        key = Listing(row.source, row.folder)
        for _ in range(MOST_LISTINGS):
            before, self._listings[key] = self._listings.get(key), self._list(key)
            if before == self._listings[key]:
                break
        else:
            raise RunError(f"{row.page}: {MOST_LISTINGS} listings of it differ (run again later)")
        names = [name for name in self._listings[key] if name != ARCHIVE]
        if rows := [row.of(name) for name in sorted(names) if row.fits(name)]:
            return rows
        shown = ", ".join(sorted(names)[:3]) + (" ..." if len(names) > 3 else "")
        raise UserError(
            f"{row.page}: has no file {row.file}, only {shown or 'none'} (its layout differs from the table)"
        )

    def terms(self, row: Row) -> str:
        """Return the licence that a row's host states for the record, in a few words."""
        host, name = host_of(row.source)
        try:
            return " ".join(host.terms(self.api, name).split())[:300]
        except (RunError, UserError):
            return "licence unknown, its host does not answer"

    def _list(self, key: Listing) -> Files:
        host, name = host_of(key.source)
        return host.files(self.api, name, key.folder)
