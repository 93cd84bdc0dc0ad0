"""Servers with endless answers, malformed headers or invalid addresses: one line of error each, within limits."""

from __future__ import annotations

import hashlib
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from faulty_server import zipped

from sed.data.download.archive import damaged_members, directory_range
from sed.data.download.fetch import LISTING, Fetcher, Remote, partial
from sed.errors import RunError, UserError

BUFFERED = 30_000_000  # bytes; more than the sockets of a connection hold, and less than half of what a server offers


@contextmanager
def answering(answer: Callable[[Callable[[bytes], None]], None]) -> Iterator[str]:
    """Yield the address of a server that reads a request and calls `answer` with a function that sends bytes.

    It closes the connection after each answer. Answers are HTTP/1.0, so that the client expects that: after one of
    HTTP/1.1 it may send its next request on the same connection just before that closes, and fail.
    """
    seen: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                seen.append(line)
            with suppress(OSError):
                answer(self.wfile.write)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ask(url: str, size: int | None = None) -> Callable[[bool], Remote]:
    return lambda _fresh: Remote(url + "/a.bin", size)


def fetcher(**kwargs: float) -> Fetcher:
    return Fetcher(**{"timeout": 1.0, "retries": 1, "backoff": 0.01, **kwargs})  # type: ignore[arg-type]


def test_a_listing_without_an_end_is_cut():
    sent = 0

    def answer(send):
        nonlocal sent
        send(b"HTTP/1.0 200 OK\r\n\r\n[")
        while sent < 40 * LISTING:
            send(b"1," * 32768)
            sent += 65536

    with answering(answer) as url, pytest.raises(RunError, match="a listing of more than"):
        fetcher(timeout=20.0).json(url, lambda value: value)
    assert sent < 6 * LISTING  # two tries, and what was on its way


@pytest.mark.thorough
def test_a_listing_that_trickles_is_cut():
    def answer(send):
        send(b"HTTP/1.0 200 OK\r\n\r\n[")
        for _ in range(100):
            send(b"1,")
            time.sleep(0.2)

    began = time.monotonic()
    with answering(answer) as url, pytest.raises(RunError, match=r"listing that takes more than|timed out"):
        fetcher(timeout=0.6).json(url, lambda value: value)
    assert time.monotonic() - began < 10


@pytest.mark.thorough
def test_headers_that_trickle_are_cut(monkeypatch):
    monkeypatch.setattr("sed.data.download.fetch.HEADERS", 0.5)

    def answer(send):
        send(b"HTTP/1.0 200 OK\r\n")
        for number in range(200):
            send(b"X-%d: 1\r\n" % number)
            time.sleep(0.2)

    began = time.monotonic()
    with answering(answer) as url, pytest.raises(RunError, match="tried"):
        fetcher(timeout=0.6, retries=0).json(url, lambda value: value)
    assert time.monotonic() - began < 15


def test_a_file_longer_than_its_stated_size_is_cut_at_once(tmp_path):
    def answer(send):
        send(b"HTTP/1.0 200 OK\r\n\r\n")
        for _ in range(2000):
            send(bytes(65536))

    with answering(answer) as url, pytest.raises(UserError, match="more than the 100000 bytes"):
        fetcher(timeout=20.0).fetch(ask(url, 100_000), tmp_path / "a.bin")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000


def test_bytes_beyond_the_stated_size_are_ignored_if_the_checksum_fits(tmp_path):
    body, sent = bytes(range(256)) * 400, 0

    def answer(send):
        nonlocal sent
        send(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        for _ in range(1000):
            send(bytes(65536))
            sent += 65536

    def record(_fresh):
        return Remote(url + "/a.bin", len(body), "md5:" + hashlib.md5(body).hexdigest())

    with answering(answer) as url:
        fetcher(timeout=20.0).fetch(record, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == body and sent < BUFFERED


def test_a_wrong_size_in_the_headers_discards_no_bytes(tmp_path):
    body, partial_files = bytes(range(256)) * 400, []  # the number of partial files at each request

    def answer(send):
        partial_files.append(len(list(tmp_path.glob(".*.part"))))
        wrong = 7 if len(partial_files) == 2 else 0
        if len(partial_files) == 1:
            send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5000])
        else:
            send(b"HTTP/1.0 206 OK\r\nContent-Range: bytes 5000-%d/%d\r\n" % (len(body) - 1, len(body) + wrong))
            send(b"Content-Length: %d\r\n\r\n" % (len(body) - 5000) + body[5000:])

    def record(_fresh):
        return Remote(url + "/a.bin", len(body), "md5:" + hashlib.md5(body).hexdigest())

    with answering(answer) as url:
        fetcher(timeout=20.0, retries=5).fetch(record, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == body and partial_files == [0, 1, 1]


def test_a_file_of_no_stated_size_has_a_limit_too(tmp_path, monkeypatch):
    monkeypatch.setattr("sed.data.download.fetch.UNSTATED", 1_000_000)

    def answer(send):
        send(b"HTTP/1.0 200 OK\r\n\r\n")
        for _ in range(2000):
            send(bytes(65536))

    with answering(answer) as url, pytest.raises(UserError, match="nobody says how large"):
        fetcher(timeout=20.0).fetch(ask(url), tmp_path / "a.bin")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1000


def test_bytes_beyond_the_requested_range_are_ignored(tmp_path):
    """A zip file with one wrong byte is repaired by two ranges; the server sends both without end."""
    body = zipped({f"{n}.bin": bytes([n]) * 50_000 + bytes(range(256)) * 40 for n in range(4)})
    wrong = bytearray(body)
    wrong[len(body) // 3] ^= 0x55
    sent, asked = 0, 0

    def answer(send):
        nonlocal sent, asked
        asked += 1
        if asked == 1:
            send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            send(bytes(wrong))
            return
        part = partial(tmp_path / "a.zip")
        start, end = directory_range(part) if asked == 2 else damaged_members(part)[0]
        send(b"HTTP/1.0 206 OK\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (start, end - 1, len(body)))
        send(body[start:end])
        for _ in range(1000):
            send(bytes(65536))
            sent += 65536

    def record(_fresh):
        return Remote(url + "/a.zip", len(body), "md5:" + hashlib.md5(body).hexdigest())

    with answering(answer) as url:
        fetcher(timeout=20.0, retries=0).fetch(record, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == body and asked == 3 and sent < BUFFERED


@pytest.mark.parametrize("step, tries", [(1000, 20), (1, 3)])
def test_progress_between_failures_counts_if_it_is_a_hundredth_of_the_file(tmp_path, step, tries):
    body, asked = bytes(range(200)) * 100, 0

    def answer(send):
        nonlocal asked
        start = asked * step
        asked += 1
        send(b"HTTP/1.0 206 OK\r\nContent-Range: bytes %d-%d/%d\r\n" % (start, len(body) - 1, len(body)))
        send(b"Content-Length: %d\r\n\r\n" % (len(body) - start) + body[start : start + step])

    def record(_fresh):
        return Remote(url + "/a.bin", len(body), "md5:" + hashlib.md5(body).hexdigest())

    with answering(answer) as url:
        if tries == 3:
            with pytest.raises(RunError, match="tried 3 times"):
                fetcher(retries=2).fetch(record, tmp_path / "a.bin")
        else:
            fetcher(retries=2).fetch(record, tmp_path / "a.bin")
            assert (tmp_path / "a.bin").read_bytes() == body
    assert asked == tries


def test_the_rest_of_another_version_is_not_appended_though_the_server_sends_it(tmp_path):
    """It ignores If-Range; nobody states a checksum."""
    old, new = b"1" * 20_000, b"2" * 20_000
    asked = 0

    def answer(send):
        nonlocal asked
        asked += 1
        if asked == 1:
            send(b'HTTP/1.0 200 OK\r\nETag: "1"\r\nContent-Length: 20000\r\n\r\n' + old[:5000])
        elif asked == 2:
            send(b'HTTP/1.0 206 OK\r\nETag: "2"\r\nContent-Range: bytes 5000-19999/20000\r\n\r\n' + new[5000:])
        else:
            send(b'HTTP/1.0 200 OK\r\nETag: "2"\r\nContent-Length: 20000\r\n\r\n' + new)

    with answering(answer) as url:
        fetcher(retries=5).fetch(ask(url), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == new and asked == 3


def test_a_rest_that_ends_early_is_seen_by_the_total_size_alone(tmp_path):
    """Neither a record nor the answer states a length, and no answer after the first states a version."""
    body = bytes(range(250)) * 80
    ends = [5000, 12_000, 20_000]
    asked = 0

    def answer(send):
        nonlocal asked
        start, end = ([0, *ends][asked], ends[asked])
        asked += 1
        if start:
            send(b"HTTP/1.0 206 OK\r\nContent-Range: bytes %d-19999/20000\r\n\r\n" % start + body[start:end])
        else:
            send(b'HTTP/1.0 200 OK\r\nETag: "1"\r\nContent-Length: 20000\r\n\r\n' + body[:end])

    with answering(answer) as url:
        fetcher(retries=5).fetch(ask(url), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == body and asked == 3


def test_bytes_so_far_are_kept_though_the_server_begins_again_and_breaks_off(tmp_path):
    body, sizes, path = bytes(range(250)) * 80, [], tmp_path / "a.bin"

    def answer(send):
        sizes.append(partial(path).stat().st_size if partial(path).exists() else 0)
        if len(sizes) <= 5:  # the file, and four answers that ignore the range
            send(b"HTTP/1.0 200 OK\r\nContent-Length: 20000\r\n\r\n" + body[: 5000 if len(sizes) == 1 else 1000])
        else:
            send(b"HTTP/1.0 206 OK\r\nContent-Range: bytes %d-19999/20000\r\n\r\n" % sizes[-1] + body[sizes[-1] :])

    def record(_fresh):
        return Remote(url + "/a.bin", len(body), "md5:" + hashlib.md5(body).hexdigest())

    with answering(answer) as url:
        fetcher(retries=5).fetch(record, path)
    assert path.read_bytes() == body and sizes == [0, 5000, 5000, 5000, 5000, 5000]


@pytest.mark.parametrize("left, requests", [(b"0", 2), (b"59", 1)])
def test_a_403_is_asked_again_if_the_number_of_requests_is_used_up(left, requests):
    asked = 0

    def answer(send):
        nonlocal asked
        asked += 1
        if asked == 1:
            send(b"HTTP/1.0 403 Forbidden\r\nX-RateLimit-Remaining: " + left + b"\r\nContent-Length: 0\r\n\r\n")
        else:
            send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    with answering(answer) as url:
        if requests == 2:
            assert fetcher().json(url, lambda value: value) == []
        else:
            with pytest.raises(UserError, match="answered 403"):
                fetcher().json(url, lambda value: value)
    assert asked == requests


def test_a_redirect_with_an_endless_body_is_followed_without_reading_it():
    sent, asked = 0, 0

    def answer(send):
        nonlocal sent, asked
        asked += 1
        if asked > 1:
            send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]")
            return
        send(b"HTTP/1.0 302 Found\r\nLocation: /there\r\n\r\n")
        for _ in range(2000):
            send(bytes(65536))
            sent += 65536

    with answering(answer) as url:
        assert fetcher(timeout=5.0).json(url + "/here", lambda value: value) == []
    assert asked == 2 and sent < BUFFERED


def test_ten_redirects_are_followed():
    answered = 0

    def answer(send):
        nonlocal answered
        answered += 1
        if answered <= 10:
            send(b"HTTP/1.0 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
        else:
            send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    with answering(answer) as url:
        assert fetcher(retries=0).json(url, lambda value: value) == []


def test_redirects_without_an_end_are_one_line():
    def answer(send):
        send(b"HTTP/1.0 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as url, pytest.raises(RunError, match="more than 10 redirects") as stopped:
        fetcher(retries=0).json(url, lambda value: value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://a/", "gopher://a/", "data:,x", "javascript:x"])
def test_a_redirect_to_another_scheme_is_refused_in_a_line(place):
    def answer(send):
        send(b"HTTP/1.0 302 Found\r\nLocation: " + place.encode() + b"\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as url, pytest.raises(UserError, match="not an address"):
        fetcher().json(url, lambda value: value)


@pytest.mark.parametrize(
    "place", ["http://[::1", "http://.a/", "http://a..b/", "http://" + "a" * 300 + "/", "http://\xff\xfe/", "http:///x"]
)
def test_a_redirect_to_an_invalid_address_is_one_line(place):
    def answer(send):
        send(b"HTTP/1.0 302 Found\r\nLocation: " + place.encode("latin-1") + b"\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as url, pytest.raises((UserError, RunError)) as stopped:
        fetcher().json(url, lambda value: value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("header", [b"Content-Length: " + b"9" * 5000, b"Content-Range: bytes 0-9/" + b"9" * 5000])
def test_numbers_that_cannot_be_parsed_are_one_line(header, tmp_path):
    def answer(send):
        send(b"HTTP/1.0 206 OK\r\n" + header + b"\r\n\r\nabc")

    with answering(answer) as url, pytest.raises((UserError, RunError)) as stopped:
        fetcher().fetch(ask(url, 10), tmp_path / "a.bin")
    assert "\n" not in str(stopped.value)


@pytest.mark.usefixtures("no_garbage_collection")
def test_endlessly_nested_json_is_one_line():
    def answer(send):
        send(b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 100_000)

    with answering(answer) as url, pytest.raises(RunError, match="not the listing") as stopped:
        fetcher().json(url, lambda value: value)
    assert "\n" not in str(stopped.value)


def test_an_invalid_etag_does_not_affect_later_runs(tmp_path):
    body = bytes(range(256)) * 100
    whole = False

    def answer(send):
        send(b"HTTP/1.0 200 OK\r\nETag: \x1fbad\r\nContent-Length: %d\r\n\r\n" % len(body))
        send(body if whole else body[:1000])

    with answering(answer) as url:
        with pytest.raises(RunError):
            fetcher().fetch(ask(url, len(body)), tmp_path / "a.bin")
        tag = partial(tmp_path / "a.bin")
        tag.with_name(tag.name + ".tag").write_bytes(b"\x1fbad")  # as an earlier version left it
        whole = True
        fetcher().fetch(ask(url, len(body)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == body


def test_a_file_whose_record_states_0_bytes_is_refused(tmp_path):
    """The message once named a hidden file that did not exist."""

    def answer(send):
        send(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ntext")

    with (
        answering(answer) as url,
        pytest.raises(UserError, match=r"^a\.bin: 4 bytes on the server, 0 in its record, 4 times"),
    ):
        fetcher().fetch(ask(url, 0), tmp_path / "a.bin")


def test_an_empty_file_is_downloaded(tmp_path):
    with answering(lambda send: send(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")) as url:
        fetcher().fetch(ask(url, 0), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b""
