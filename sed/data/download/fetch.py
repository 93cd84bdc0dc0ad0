"""Files over HTTP from servers and networks that fail: resumed by byte range, retried, checked before use.

A file gets its name once it has the size and the checksum that its host's API states; both are stored beside it
(`.NAME.checked`), so that it is not read again. Until then it is `.NAME.part`, which a later run continues.

Failures are of two kinds: after `Again` the same request is repeated, after `Differs` the file's record is requested.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import os
import random
import re
import socket
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from sed.data.download.archive import damaged_members, directory_range
from sed.data.download.checksums import checksum, is_checked, remember
from sed.errors import RunError, UserError
from sed.files import sync_folder, write_text
from sed.progress import Meter, human

log = logging.getLogger("sed.fetch")

CHUNK = 1 << 16  # bytes read and written at a time
DOWNLOADS = 4  # times that a file is downloaded if it does not match its record
RECORDS = 20  # records of a file, each unlike the one before, after which the file is given up
IGNORED = 3  # times that a range is asked for again if the whole file came, before the server counts as without ranges
WORTH = 1 << 20  # bytes, or a hundredth of the file if that is less, after which an attempt counts as progress
SLOWEST = 512  # bytes/s; a slower average over a whole time-out counts as a stall
LISTING = 16 << 20  # largest page of a listing in bytes; Zenodo's, Hugging Face's and GitHub's are under 1 MB
PAGES = 2000  # most pages of a listing; Hugging Face has 1,000 files per page
LISTINGS = 256 << 20  # largest sum of a listing's pages in bytes
UNSTATED = 4 << 30  # largest file without a stated size in bytes; the only one of the recipes, AST's .pth, has 350 MB
REDIRECTS = 10  # most redirects of a request
HEADERS = 5.0  # seconds beyond the time-out within which all headers must arrive
BUSY = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses after which a request is repeated
T = TypeVar("T")


@dataclass(frozen=True)
class Remote:
    """A file's record: its address, and its size and checksum according to its host; None for what is not stated."""

    url: str
    size: int | None = None
    """bytes"""
    checksum: str | None = None
    """`md5:<hex>`, `sha256:<hex>` or `git:<hex>`, as `checksums.checksum` returns them"""
    holds: Mapping[str, Remote] | None = None
    """content of a zip file that the host packs while sending it, without a stated size"""

    @property
    def most(self) -> int:
        """The largest number of bytes that is accepted; of a packed zip file with room for names and headers."""
        if self.size is not None:
            return self.size
        if self.holds is None:
            return UNSTATED
        return sum((one.size or 0) + 2 * len(name) + 1024 for name, one in self.holds.items()) + 1024


class Again(Exception):
    """A failed attempt that may succeed if repeated; `wait`: seconds for which the server asks to wait."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Differs(Exception):
    """The downloaded file differs from its record."""


class Claims(Differs):
    """The server's headers about the file differ from the record; the bytes downloaded so far may be right."""


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections whose headers must arrive within `seconds`: a time-out alone does not end a trickle of headers."""

    def __init__(self, seconds: float, **kwargs: Any) -> None:
        self._seconds = seconds
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        seconds = self._seconds

        def bounded(base: type) -> type:
            class Connection(base):
                def getresponse(self) -> Any:
                    timer = threading.Timer(seconds, _shut, (self.sock,))
                    timer.daemon = True
                    timer.start()
                    try:
                        return super().getresponse()
                    finally:
                        timer.cancel()

            return Connection

        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": bounded(pool.ConnectionCls)})
            for scheme, pool in pools.items()
        }


def _shut(sock: socket.socket | None) -> None:
    """Shut a connection down, which ends a read in another thread."""
    with suppress(OSError):
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


class _Session(requests.Session):
    """Session that follows no redirects itself: requests would read a redirect's body, which may be endless."""

    def resolve_redirects(self, *_args: Any, **_kwargs: Any) -> Iterator[Any]:
        return iter(())


class Fetcher:
    """Downloads over one pool of connections; may be used from several threads.

    meter: shows progress. timeout: seconds without data, or below SLOWEST, that count as a stall. retries: failures in
    a row, without progress between them, after which another attempt is made; at most 2 if the host has never answered.
    backoff: longest wait after the first failure in seconds; it doubles, up to a minute, and a random half to all of it
    is waited. pause: function that waits. elsewhere: remedy for messages, which depends on the calling command.
    """

    def __init__(
        self,
        *,
        meter: Meter | None = None,
        timeout: float = 60.0,
        retries: int = 8,
        backoff: float = 1.0,
        pause: Callable[[float], None] = time.sleep,
        elsewhere: str = "--mirror names another server",
    ) -> None:
        self.meter = meter or Meter()
        self.elsewhere = elsewhere
        self.timeout = timeout
        self.retries = retries
        self.backoff = backoff
        self.pause = pause
        self.stop = threading.Event()  # set to end all downloads
        self._session = _Session()
        self._session.headers["User-Agent"] = "ast-sed"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _Adapter(timeout + HEADERS, pool_maxsize=32))
        self._answered: set[str] = set()  # hosts that have answered a request

    def json(self, url: str, parse: Callable[[Any], T]) -> T:
        """Return `parse` of the JSON at `url`; if `parse` fails, as on JSON of another shape, ask for it again.

        Raises:
            RunError: every attempt failed.
            UserError: the server refuses the request, such as by 404.
        """
        return self._page(url, parse)[0]

    def pages(self, url: str, parse: Callable[[Any], T], at: Callable[[str], str]) -> Iterator[T]:
        """Read a listing of several pages; each names the next one in its Link header.

        Args:
            url: of the first page.
            parse: applied to the JSON of each page.
            at: maps the address of the next page to the one that is requested, such as a mirror's.

        Yields:
            The result of `parse` for each page.

        Raises:
            RunError: every attempt failed.
            UserError: the server refuses the request, or the listing is too long.
        """
        pages, size = 0, 0
        while url:
            value, following, length = self._page(url, parse)
            yield value
            pages, size = pages + 1, size + length
            if following and (pages == PAGES or size > LISTINGS):
                raise UserError(f"{url}: a listing of over {pages} pages, {human(size)} (name a folder in the table)")
            url = at(urljoin(url, following)) if following else ""

    def _page(self, url: str, parse: Callable[[Any], T]) -> tuple[T, str, int]:
        """Return `parse` of the JSON at `url`, the address of the next page ("" at the end), and the size in bytes."""

        def attempt() -> tuple[T, str, int]:
            with self._get(url, {}) as response:
                text = self._listing(response)
                try:
                    return parse(json.loads(text)), response.links.get("next", {}).get("url", ""), len(text)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise Again(f"not the listing that was expected ({error!r:.80})") from None

        return self._retry(url, attempt)

    def _listing(self, response: requests.Response) -> bytes:
        """Return a whole listing; raise Again if it is too large or takes longer than the time-out."""
        text, started = bytearray(), time.monotonic()
        while data := _read(response):
            text += data
            if len(text) > LISTING:
                raise Again(f"a listing of more than {human(LISTING)}")
            if time.monotonic() - started > self.timeout:
                raise Again(f"a listing that takes more than {self.timeout:g} s")
        return bytes(text)

    def fetch(self, ask: Callable[[bool], Remote], path: Path) -> None:
        """Download a file to `path` and check it; do nothing if that was done before.

        Args:
            ask: `ask(fresh)` returns the file's Remote; its host is asked again if `fresh`.
            path: the file. If it exists without having been checked, whole or in part, it is checked and completed.

        Raises:
            RunError: every attempt failed, or `stop` was set.
            UserError: the server refuses the request, or its file never matches its record.
        """
        if is_checked(path):
            return
        part = partial(path)
        if path.is_file() and not part.exists():
            path.replace(part)
        checksum, url = self._whole(ask, path.name, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _tag_file(part).unlink(missing_ok=True)
        sync_folder(path.parent)
        remember(path, checksum, url)

    def _whole(self, ask: Callable[[bool], Remote], name: str, part: Path) -> tuple[str, str]:
        """Download `part` until it matches its record; return its checksum and address."""
        remote, attempts, records = ask(False), 0, 1
        while True:
            try:
                self._retry(remote.url, functools.partial(self._stream, remote, part), lambda: _size(part), remote.size)
                return verify(part, remote), remote.url
            except Differs as error:
                log.info("%s: %s: asking its record again", name, error)
                fresh = ask(True)
                if fresh == remote:
                    if not isinstance(error, Claims) and not self._repair(remote, part):
                        part.unlink(missing_ok=True)
                    attempts += 1
                else:  # the record arrived damaged, now or before: the file may be right
                    records += 1
                remote = fresh
                if attempts == DOWNLOADS or records == RECORDS:
                    times = attempts + records - 1
                    raise UserError(f"{name}: {error}, {times} times over (try later; {self.elsewhere})") from None

    def _retry(
        self, url: str, attempt: Callable[[], T], reached: Callable[[], int] = lambda: 0, size: int | None = None
    ) -> T:
        """Call `attempt` until it returns without raising Again.

        Args:
            url: for messages.
            attempt: the function to call.
            reached: returns the number of bytes downloaded so far; a failure after enough new ones resets the count.
            size: of the file in bytes, if known.

        Raises:
            RunError: more than `retries` failures in a row.
        """
        failures = 0
        worth = min(WORTH, max(1, (size or WORTH) // 100))
        while True:
            before = reached()
            try:
                return attempt()
            except Again as error:
                failures = 1 if reached() - before >= worth else failures + 1
                # A host that has never answered is more likely out of reach than busy: give up sooner.
                if failures > (self.retries if urlsplit(url).netloc in self._answered else min(2, self.retries)):
                    raise RunError(f"{url}: {error} (tried {failures} times)") from None
                wait = max(error.wait, min(60.0, self.backoff * 2 ** (failures - 1)) * random.uniform(0.5, 1.0))
                log.info("%s: %s: again in %.0f s", url, error, wait)
                self.pause(wait)

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        """Return an open response of status 200, 206 or 416; raise Again or, if repeating cannot help, UserError."""
        address = url
        for _ in range(REDIRECTS + 1):
            response, target = self._answer(address, headers)
            if target is None:
                break
            response.close()
            address = target
        else:
            raise Again(f"more than {REDIRECTS} redirects")
        self._answered.add(urlsplit(url).netloc)
        if response.status_code in (200, 206, 416):
            return response
        response.close()
        what = f"answered {response.status_code} {response.reason}"
        if response.status_code in BUSY or response.headers.get("X-RateLimit-Remaining") == "0":  # GitHub's 403
            raise Again(what, _retry_after(response))
        raise UserError(f"{url}: the server {what} (check the address; {self.elsewhere})")

    def _get_piece(self, url: str, headers: dict[str, str]) -> requests.Response:
        """Return an open response as `_get` does; repeat up to IGNORED times if the server ignores the Range header."""
        response = self._get(url, headers)
        for _ in range(IGNORED):
            # With If-Range, the whole file is the right answer if it has changed.
            if response.status_code != 200 or "Range" not in headers or "If-Range" in headers:
                break
            response.close()
            response = self._get(url, headers)
        return response

    def _answer(self, url: str, headers: dict[str, str]) -> tuple[requests.Response, str | None]:
        """Return an open response of any status, and the address that it redirects to, if any."""
        try:
            response = self._session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                timeout=(min(self.timeout, 20), self.timeout),  # seconds to connect, and between two reads
            )
            target = self._session.get_redirect_target(response)
            return response, None if target is None else urljoin(url, target)
        except (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.exceptions.InvalidURL):
            raise UserError(f"{url}: not an address (https://... is one; {self.elsewhere})") from None
        except (UnicodeError, ValueError, urllib3.exceptions.LocationValueError) as error:
            if isinstance(error, requests.RequestException) and not isinstance(error, requests.exceptions.InvalidURL):
                raise Again(_reason(error)) from None
            raise UserError(f"{url}: it, or where it redirects to, is not an address ({self.elsewhere})") from None
        except requests.RequestException as error:
            if isinstance(error, requests.ReadTimeout):  # the connection was made, so the host is within reach
                self._answered.add(urlsplit(url).netloc)
            raise Again(_reason(error)) from None

    def _stream(self, remote: Remote, part: Path) -> None:
        """Download what is missing of `part`.

        Raises:
            Again: the connection ended early, or the answer cannot be used.
            Differs: the server's file is not that of the record.
        """
        have = _size(part)
        tag = _tag_file(part)
        # A validator (ETag or date) shows that the rest is from the same version of the file. It is not used if there
        # is a checksum, which shows a splice of two versions: a server whose ETag varies would cause new downloads.
        by_tag = remote.checksum is None
        known = _sendable(tag.read_text(errors="replace")) if by_tag and tag.exists() else ""
        if remote.size is not None and have == remote.size and part.exists():
            return
        if (remote.size is not None and have > remote.size) or (by_tag and not known):
            have = 0  # without a validator or a checksum, a splice of two files would go unseen
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and known:
            headers["If-Range"] = known
        with self._get_piece(remote.url, headers) as response:
            if response.status_code == 416 and remote.size is None and "Content-Range" not in response.headers:
                part.unlink(missing_ok=True)  # it may be whole or too long: not all servers state the size here
                raise Again("the server has nothing more and does not say how much it has: starting over")
            start, total = _placed(response, have)
            if response.status_code == 416:
                if remote.size is not None:
                    raise Claims(f"nothing from byte {have} on the server, {remote.size} bytes in its record")
                if total == have:
                    return
                part.unlink(missing_ok=True)
                raise Again("the server has less than was downloaded: starting over")
            if start != have and start != 0:
                raise Again(f"the server sent bytes from {start}, not from {have}")
            if remote.checksum is None and "html" in response.headers.get("Content-Type", ""):
                raise Again("a web page came instead of the file")
            if remote.size is not None and total is not None and total != remote.size:
                raise Claims(f"{total} bytes on the server, {remote.size} in its record")
            if start and known and _validator(response) not in ("", known):
                part.unlink(missing_ok=True)
                raise Again("the file has changed on the server: starting over")
            if not start:
                part.parent.mkdir(parents=True, exist_ok=True)
                if by_tag:
                    write_text(tag, _validator(response))
                if by_tag or not have:  # otherwise keep the bytes so far, in case this download ends early
                    part.unlink(missing_ok=True)
            if remote.holds is not None and total is not None and total > remote.most:
                raise Claims(f"{total} bytes on the server, which is more than the {remote.most} bytes of its record")
            stated = remote if remote.size is not None else dataclasses.replace(remote, size=total)
            self._save(response, part, start, stated)

    def _repair(self, remote: Remote, part: Path) -> bool:
        """Fetch a zip file's directory again, then its damaged members; return whether any byte changed."""
        if remote.size is None or _size(part) != remote.size or (directory := directory_range(part)) is None:
            return False
        try:
            mended = self._patch(remote, part, *directory)
            members = damaged_members(part)
            if sum(end - start for start, end in members) <= remote.size / 2:  # else download the whole file again
                for start, end in members:
                    mended |= self._patch(remote, part, start, end)
        except Differs:
            return False
        return mended

    def _patch(self, remote: Remote, part: Path, start: int, end: int) -> bool:
        """Fetch a range of bytes again and write it into `part`; return whether it differs from the old bytes."""
        log.info("%s: bytes %d to %d may be damaged: fetched again", part.name, start, end)
        piece = self._retry(remote.url, functools.partial(self._piece, remote, start, end))
        with part.open("r+b") as file:
            file.seek(start)
            if file.read(len(piece)) == piece:
                return False
            file.seek(start)
            file.write(piece)
        return True

    def _piece(self, remote: Remote, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` - 1 of a file; raise Again for others, Differs if the server has no ranges."""
        piece = bytearray()
        with self._get_piece(remote.url, {"Range": f"bytes={start}-{end - 1}"}) as response:
            if response.status_code == 200:
                raise Differs("its server gives no ranges any more")
            if response.status_code != 206 or _placed(response, -1) != (start, remote.size):
                raise Again("the server sent another piece than was asked for")
            while len(piece) < end - start and (arrived := _read(response)):
                piece += arrived
        if len(piece) < end - start:
            raise Again(f"{len(piece)} of {end - start} bytes came")
        return bytes(piece[: end - start])

    def _save(self, response: requests.Response, part: Path, start: int, remote: Remote) -> None:
        """Write the response to `part` from byte `start`, and nothing beyond the file's size."""
        since, arrived = time.monotonic(), 0
        total, most = remote.size, remote.most
        with part.open("r+b" if part.exists() else "wb") as file:
            file.seek(start)
            while data := _read(response):
                if self.stop.is_set():
                    raise RunError("interrupted")
                if file.tell() + len(data) > most:
                    if total is None:
                        part.unlink()
                        raise UserError(f"{response.url}: over {human(most)}, nobody says how large (not taken)")
                    if remote.checksum is None:
                        raise Differs(f"more than the {total} bytes of its record")
                    file.write(data[: most - file.tell()])
                    return
                file.write(data)
                file.flush()
                self.meter.at(part.name, file.tell())
                arrived += len(data)
                if (passed := time.monotonic() - since) > self.timeout:
                    if arrived < SLOWEST * passed:
                        raise Again(f"stalled: {arrived} bytes in {passed:.0f} s")
                    since, arrived = time.monotonic(), 0
            end = file.tell()
        if total is not None and end < total:
            raise Again(f"the connection ended at {human(end)} of {human(total)}")


def partial(path: Path) -> Path:
    """Return the path under which a file is downloaded, until it is complete and checked."""
    return path.with_name(f".{path.name}.part")


def verify(path: Path, remote: Remote) -> str:
    """Return a file's checksum (md5 if the host states none); raise Differs unless it and the size match the host's."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        raise Differs(f"{size} bytes, {remote.size} in its record")
    kind = (remote.checksum or "md5:").partition(":")[0]
    found = checksum(path, kind)
    if remote.checksum is not None and found != remote.checksum:
        raise Differs(f"checksum {found}, {remote.checksum} in its record")
    if remote.holds is not None:
        _verify_members(path, remote.holds)
    return found


def _verify_members(path: Path, holds: Mapping[str, Remote]) -> None:
    """Compare the files in a zip that the host packed with the host's listing; raise Differs if one deviates."""
    try:
        with zipfile.ZipFile(path) as container:
            found = {info.filename: info for info in container.infolist() if not info.is_dir()}
            if found.keys() != holds.keys():
                raise Differs(f"it holds {len(found)} files, its record {len(holds)}, or other names")
            for name, one in holds.items():
                digest = hashlib.new((one.checksum or "md5:").partition(":")[0], usedforsecurity=False)
                if found[name].file_size != one.size:
                    raise Differs(f"'{name}' in it has {found[name].file_size} bytes, {one.size} in its record")
                with container.open(name) as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
                if digest.hexdigest() != (one.checksum or "").partition(":")[2]:
                    raise Differs(f"'{name}' in it is not the record's")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Differs(f"not a whole zip file ({error})") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag_file(part: Path) -> Path:
    """Return the path of the file with a download's validator."""
    return part.with_name(part.name + ".tag")


def _read(response: requests.Response) -> bytes:
    """Return the bytes that have arrived, at most CHUNK; not waiting for more loses little if the run is killed."""
    try:
        return response.raw.read1(CHUNK)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Again(_reason(error)) from None


def _placed(response: requests.Response, have: int) -> tuple[int, int | None]:
    """Return the offset of a response's first byte, and the size of the whole file (None: not stated).

    `have` is the offset that was asked for, which a response of status 416 does not state.
    """
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    stated = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)", stated)
    if match is None:
        raise Again("the server's Content-Range cannot be read")
    return int(match[1] or have), None if match[2] == "*" else int(match[2])


def _validator(response: requests.Response) -> str:
    """Return the value that identifies this version of the file in an If-Range header: a strong ETag, else the date."""
    etag = response.headers.get("ETag", "")
    return _sendable(etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", ""))


def _sendable(validator: str) -> str:
    """Return the validator, "" if it is not valid in a header: sending it would fail in every later run."""
    return validator if re.fullmatch(r"[\x20-\x7e]{1,1000}", validator) and validator.strip() == validator else ""


def _retry_after(response: requests.Response) -> float:
    """Return the seconds that a busy server asks to wait (a number or a date), at most ten minutes; 0: not stated."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return 600.0 if len(text) > 3 else float(min(int(text), 600))  # int refuses thousands of digits
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0), 600.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _reason(error: BaseException) -> str:
    """Return the cause of a network error in a few words, found in the text of the error."""
    text = str(error)
    for pattern, words in (
        (r"Name or service not known|[Nn]ame resolution|nodename nor servname|getaddrinfo", "no such host"),
        (r"refused", "connection refused"),
        (r"[Tt]imed out|[Tt]imeout", "timed out"),
        (r"unreachable", "network unreachable"),
        (r"[Rr]eset|RemoteDisconnected|IncompleteRead|Broken pipe|broken", "the connection broke"),
        (r"[Pp]roxy", "the proxy refused"),
        (r"CERTIFICATE|SSL", "no secure connection"),
    ):
        if re.search(pattern, text):
            return words
    return type(error).__name__
