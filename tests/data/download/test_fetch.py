"""Downloads against a loopback server that fails in every way it can."""

import hashlib
import json
import os
import random
import socket
import stat
import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest
import requests
from faulty_server import Faults, zipped

from sed.data.download.checksums import is_checked
from sed.data.download.fetch import Differs, Fetcher, Remote, _retry_after, _validator, partial, verify
from sed.errors import RunError, UserError

BODY = random.Random(1).randbytes(700_000)
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()
PATH = "/records/1/files/a.bin"
RATE = 2_000_000  # bytes/s: the server sends blocks of 20 kB, so a fetcher that hangs up has wasted one or two of them


def fetcher(**kwargs) -> Fetcher:
    return Fetcher(**{"timeout": 10.0, "backoff": 0.01, **kwargs})


def remote(server, checksum=MD5):
    return lambda _fresh: Remote(server.url + PATH, len(BODY), checksum)


@pytest.fixture
def server(serve):
    return lambda **kwargs: serve(zenodo={"1": {"a.bin": BODY}}, **kwargs)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", ["error", "busy", "drop", "stall"])
def test_every_fault_is_survived(server, tmp_path, fault):
    faults = Faults(**{fault: 1.0}, most=4, seed=3, stalled=0.6)
    running = server(faults=faults)
    fetcher(timeout=0.3).fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert faults.kinds == {fault: 4}
    assert running.sent == len(BODY), "what had arrived was fetched again"
    assert [p.name for p in sorted(tmp_path.iterdir())] == [".a.bin.checked", "a.bin"]


def test_a_download_is_flushed_before_it_gets_its_name_and_the_folder_after_that(server, tmp_path, monkeypatch):
    flush, flushed = os.fsync, []

    def fsync(descriptor):
        status = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes"
        flushed.append((what, (tmp_path / "a.bin").exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    fetcher().fetch(remote(server()), tmp_path / "a.bin")
    assert flushed[:2] == [(f"{len(BODY)} bytes", False), ("folder", True)]


@pytest.mark.parametrize("body", [BODY, BODY[:3000]], ids=["many blocks", "less than a buffer"])
def test_what_has_arrived_is_in_the_file_at_once(serve, tmp_path, body):
    """A run that is killed keeps it."""
    running, part, sizes = serve(zenodo={"1": {"a.bin": body}}), partial(tmp_path / "a.bin"), []
    meter = SimpleNamespace(at=lambda _name, position: sizes.append((position, part.stat().st_size)))
    fetcher(meter=meter).fetch(lambda _fresh: Remote(running.url + PATH, len(body)), tmp_path / "a.bin")
    assert sizes and all(position == size for position, size in sizes)


def test_a_file_of_another_size_than_its_record_differs_though_no_checksum_is_stated(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"1234")
    assert verify(tmp_path / "a.bin", Remote("", 4)) == "md5:" + hashlib.md5(b"1234").hexdigest()
    with pytest.raises(Differs, match="4 bytes, 5 in its record"):
        verify(tmp_path / "a.bin", Remote("", 5))


def test_an_interrupt_ends_a_download_and_keeps_its_beginning(server, tmp_path):
    running = fetcher()
    running.meter = SimpleNamespace(at=lambda *_: running.stop.set())
    with pytest.raises(RunError, match="interrupted"):
        running.fetch(remote(server()), tmp_path / "a.bin")
    assert 0 < partial(tmp_path / "a.bin").stat().st_size < len(BODY) and not (tmp_path / "a.bin").exists()


def test_wrong_bytes_are_always_found(server, tmp_path):
    running = server(faults=Faults(wrong=1.0, most=2))
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert running.sent == 3 * len(BODY)


def test_one_wrong_byte_in_a_zip_makes_one_member_be_fetched_again(serve, tmp_path):
    noise = random.Random(4)
    body = zipped({f"{i}.wav": noise.randbytes(20_000) for i in range(40)})
    checksum = "md5:" + hashlib.md5(body).hexdigest()
    for seed in range(4):
        running = serve(zenodo={"1": {"a.bin": body}}, faults=Faults(wrong=1.0, most=1, seed=seed))
        path = tmp_path / str(seed) / "a.bin"
        fetcher().fetch(lambda _fresh, r=running: Remote(r.url + PATH, len(body), checksum), path)
        assert path.read_bytes() == body
        assert running.sent < 1.05 * len(body)  # one of 40 members, if not the directory alone (measured: up to 1.03)


class Script(Faults):
    """Faults in a fixed order, one per request."""

    def __init__(self, *kinds: str) -> None:
        super().__init__()
        self.left = list(kinds)

    def draw(self, _path: str) -> str:
        return self.left.pop(0) if self.left else ""


def test_false_headers_about_fetched_ranges_discard_no_bytes(serve, tmp_path):
    noise = random.Random(4)
    body = zipped({f"{i}.wav": noise.randbytes(20_000) for i in range(40)})
    directory = ("total", "none", "whole", "longer")  # requests for the zip's directory; the last one brings it
    member = ("whole", "drop", "total", "none", "tag")  # for the member with the wrong byte; the last one brings it
    faults = Script("wrong", *directory, *member)
    running = serve(zenodo={"1": {"a.bin": body}}, faults=faults, rate=RATE)
    checksum = "md5:" + hashlib.md5(body).hexdigest()
    fetcher().fetch(lambda _fresh: Remote(running.url + PATH, len(body), checksum), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == body and not faults.left
    # Measured: 1.17, for the two pieces and the blocks of refused answers; a second download of the file would make 2.
    assert running.sent < 1.4 * len(body), running.overhead()


@pytest.mark.parametrize("lie", ["whole", "total", "none", "tag"])
def test_a_false_header_about_the_rest_discards_no_bytes(server, tmp_path, lie):
    # Twice: fewer lies than those after which the fetcher takes the whole file (IGNORED) or gives up (DOWNLOADS).
    running = server(faults=Script("drop", lie, lie), rate=RATE)
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert running.sent < 1.15 * len(BODY), running.overhead()  # measured: up to 1.06


def test_a_checksum_that_never_matches_is_one_error(server, tmp_path):
    wrong = "md5:" + "0" * 32
    with pytest.raises(UserError, match=r"checksum .* in its record, 4 times over"):
        fetcher().fetch(remote(server(), checksum=wrong), tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_the_record_is_asked_again_before_the_file(server, tmp_path):
    running = server()

    def ask(fresh):
        return Remote(running.url + PATH, len(BODY), MD5 if fresh else "md5:" + "0" * 32)

    fetcher().fetch(ask, tmp_path / "a.bin")
    assert running.sent == len(BODY)


def test_records_that_are_never_the_same_end_the_download(server, tmp_path):
    running, asked = server(), []

    def ask(_fresh):
        asked.append(f"md5:{len(asked):032d}")
        return Remote(running.url + PATH, len(BODY), asked[-1])

    with pytest.raises(UserError, match="19 times over"):
        fetcher().fetch(ask, tmp_path / "a.bin")
    assert len(asked) == 20 and running.sent == len(BODY)


def test_a_second_fetch_sends_no_request(server, tmp_path):
    running = server()
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    asked = len(running.requests)
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert len(running.requests) == asked
    assert is_checked(tmp_path / "a.bin") == MD5
    (tmp_path / "a.bin").write_bytes(BODY[:-1])
    assert not is_checked(tmp_path / "a.bin")


def test_a_partial_file_of_another_tool_is_completed(server, tmp_path):
    running = server()
    (tmp_path / "a.bin").write_bytes(BODY[:500_000])
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert running.sent == 200_000


def test_a_partial_download_is_completed_though_a_file_of_its_name_is_there(server, tmp_path):
    running = server()
    (tmp_path / "a.bin").write_bytes(b"not checked")
    partial(tmp_path / "a.bin").write_bytes(BODY[:500_000])
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY and running.sent == 200_000


def test_a_partial_file_larger_than_its_record_starts_over(server, tmp_path):
    running = server()
    partial(tmp_path / "a.bin").write_bytes(BODY + b"more")
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY and running.sent == len(BODY)


@pytest.mark.parametrize("more, sent", [(b"", 0), (b"more", len(BODY))])
def test_of_a_file_of_no_stated_size_a_whole_one_is_not_sent_again_and_a_longer_one_is(server, tmp_path, more, sent):
    running, killed = server(), fetcher()

    def ask(_fresh):
        return Remote(running.url + PATH)

    killed.meter = SimpleNamespace(at=lambda *_: killed.stop.set())
    with pytest.raises(RunError):  # leaves the ETag beside the beginning of the file
        killed.fetch(ask, tmp_path / "a.bin")
    partial(tmp_path / "a.bin").write_bytes(BODY + more)
    running.answers.clear()
    fetcher().fetch(ask, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY and running.sent == sent
    assert {path.name for path in tmp_path.iterdir()} == {"a.bin", ".a.bin.checked"}


def test_a_whole_file_of_no_stated_size_is_fetched_again_where_the_server_does_not_say_that_it_is(
    server, tmp_path, monkeypatch
):
    """RFC 9110 only recommends a Content-Range in an answer of status 416."""
    running, path, get = server(), tmp_path / "a.bin", Fetcher._get

    def without_range(self, url, headers):
        response = get(self, url, headers)
        if response.status_code == 416:
            del response.headers["Content-Range"]
        return response

    def unstated(_fresh):
        return Remote(running.url + PATH)

    fetcher().fetch(unstated, path)
    path.rename(partial(path))  # as if killed before the file got its name
    partial(path).with_name(f"{partial(path).name}.tag").write_text(_validator(requests.get(running.url + PATH)))
    monkeypatch.setattr(Fetcher, "_get", without_range)
    fetcher(retries=2).fetch(unstated, path)
    assert path.read_bytes() == BODY


def test_a_file_that_changed_on_the_server_is_not_spliced(server, tmp_path):
    """Without a checksum, only ETag and If-Range can prevent a splice."""
    other = random.Random(2).randbytes(len(BODY))
    running = server(faults=Faults(drop=1.0, most=1, seed=5))

    def pause(_seconds):
        running.zenodo["1"]["a.bin"] = other

    fetcher(pause=pause).fetch(lambda _fresh: Remote(running.url + PATH), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == other


def test_a_partial_file_without_validator_or_checksum_starts_over(server, tmp_path):
    running = server()
    partial(tmp_path / "a.bin").write_bytes(b"x" * 1000)
    fetcher().fetch(lambda _fresh: Remote(running.url + PATH), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_file_is_downloaded_from_a_server_without_ranges(server, tmp_path):
    running = server(ranges=False, faults=Faults(drop=1.0, most=2, seed=1))
    fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_retry_after_is_waited_for(server, tmp_path):
    waited = []
    running = server(faults=Faults(busy=1.0, most=2, retry_after="7"))
    fetcher(pause=waited.append).fetch(remote(running), tmp_path / "a.bin")
    assert waited == [7.0, 7.0]
    waited.clear()
    running = server(faults=Faults(busy=1.0, most=1, retry_after=formatdate(time.time() + 100, usegmt=True)))
    fetcher(pause=waited.append).fetch(remote(running), tmp_path / "b.bin")
    assert 90 < waited[0] <= 100
    for text in ("soon", "Fri, 31 Dec 99999999999 23:59:59 GMT"):
        running = server(faults=Faults(busy=1.0, most=1, retry_after=text))
        fetcher(pause=waited.append).fetch(remote(running), tmp_path / f"{len(waited)}.bin")
        assert waited[-1] < 1


def test_waits_double_up_to_a_minute_and_half_of_each_is_random(server, tmp_path):
    waited = []
    with pytest.raises(RunError, match="tried 10 times"):
        running = server(faults=Faults(error=1.0))
        fetcher(retries=9, backoff=1.0, pause=waited.append).fetch(remote(running), tmp_path / "a.bin")
    shares = [wait / most for wait, most in zip(waited, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True)]
    assert all(0.5 <= share <= 1 for share in shares) and max(shares) - min(shares) > 0.01
    waited.clear()
    running = server(faults=Faults(busy=1.0, most=1, retry_after="1"))
    fetcher(backoff=100.0, pause=waited.append).fetch(remote(running), tmp_path / "a.bin")
    assert waited[0] >= 30, "the server's wait is a smallest one"


def test_a_wait_that_a_server_asks_for_is_between_0_and_ten_minutes():
    def stated(text):
        return _retry_after(SimpleNamespace(headers={"Retry-After": text} if text else {}))

    assert [stated(text) for text in ("7", " 8 ", "601", "9" * 5000, "", "-5")] == [7, 8, 600, 600, 0, 0]
    for seconds, expected in ((-3600, 0), (3600, 600)):
        assert stated(formatdate(time.time() + seconds, usegmt=True)) == expected


def test_a_weak_etag_does_not_identify_bytes():
    date = "Sat, 28 Nov 2026 10:00:00 GMT"
    for etag, expected in (('"a"', '"a"'), ('W/"a"', date), ("", date), ('"\x1f"', "")):
        assert _validator(SimpleNamespace(headers={"ETag": etag, "Last-Modified": date})) == expected


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(server, tmp_path, status):
    running = server()
    running.status[PATH] = status
    fetcher(pause=lambda _seconds: running.status.clear()).fetch(remote(running), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_missing_file_is_not_requested_again(server, tmp_path, status):
    running = server()
    running.status[PATH] = status
    with pytest.raises(UserError, match=f"{PATH}: the server answered {status}"):
        fetcher().fetch(remote(running), tmp_path / "a.bin")
    assert len(running.requests) == 1


@pytest.mark.parametrize("retries, times", [(8, 3), (1, 2), (0, 1)])
def test_an_unreachable_server_is_a_run_error_after_few_attempts(tmp_path, retries, times):
    with pytest.raises(RunError, match=rf"connection refused .tried {times} times"):
        fetcher(retries=retries).fetch(lambda _fresh: Remote("http://127.0.0.1:9/a", 1, MD5), tmp_path / "a.bin")


def test_a_server_that_takes_connections_and_does_not_answer_is_asked_as_often_as_one_that_fails(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RunError, match=r"timed out .tried 5 times"):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        fetcher(retries=4, timeout=0.05).fetch(lambda _fresh: Remote(url, 1, MD5), tmp_path / "a.bin")


def test_failures_without_progress_end_the_download(server, tmp_path):
    running = server(faults=Faults(error=1.0))
    with pytest.raises(RunError, match=r"answered 500 .* .tried 4 times"):
        fetcher(retries=3).fetch(remote(running), tmp_path / "a.bin")


def test_a_web_page_instead_of_a_file_is_refused(server, tmp_path):
    running = server()
    running.type = "text/html; charset=utf-8"
    with pytest.raises(RunError, match="a web page came"):
        fetcher(retries=1).fetch(lambda _fresh: Remote(running.url + PATH), tmp_path / "a.bin")


def test_a_trickle_is_a_stall(server, tmp_path, monkeypatch):
    monkeypatch.setattr("sed.data.download.fetch.SLOWEST", 10_000_000)
    with pytest.raises(RunError, match="stalled"):
        fetcher(retries=0, timeout=0.3).fetch(remote(server(rate=300_000)), tmp_path / "a.bin")
    assert partial(tmp_path / "a.bin").stat().st_size > 0


def test_the_rest_of_a_file_without_a_checksum_is_asked_for_if_it_has_not_changed(server, tmp_path, monkeypatch):
    asked, send = [], requests.Session.send

    def spy(self, request, **kwargs):
        asked.append((request.headers.get("Range"), request.headers.get("If-Range")))
        response = send(self, request, **kwargs)
        tags.add(response.headers["ETag"])
        return response

    tags = set()
    monkeypatch.setattr(requests.Session, "send", spy)
    running = server(faults=Script("drop"))
    fetcher().fetch(lambda _fresh: Remote(running.url + PATH), tmp_path / "a.bin")
    assert asked[0] == (None, None) and asked[1][0].startswith("bytes=") and asked[1][1] in tags and len(asked) == 2


def test_files_are_asked_for_uncompressed(server, tmp_path, monkeypatch):
    """Ranges and sizes of a compressed answer are not those of the file."""
    sent, send = [], requests.Session.send

    def spy(self, request, **kwargs):
        sent.append(request.headers["Accept-Encoding"])
        return send(self, request, **kwargs)

    monkeypatch.setattr(requests.Session, "send", spy)
    fetcher().fetch(remote(server()), tmp_path / "a.bin")
    assert sent == ["identity"]


def test_json_that_cannot_be_parsed_is_requested_again(serve):
    running = serve(other={"/x": b"[1"})

    def pause(_seconds):
        running.other["/x"] = json.dumps([1]).encode()

    assert fetcher(pause=pause).json(running.url + "/x", lambda a: a[0]) == 1


def packed(tmp_path, files):
    (tmp_path / "a.zip").write_bytes(zipped(files))
    return tmp_path / "a.zip"


def record_of(files):
    return {name: Remote("", len(body), "md5:" + hashlib.md5(body).hexdigest()) for name, body in files.items()}


def test_a_zip_that_the_host_packs_is_compared_with_its_record_by_names_sizes_and_checksums(tmp_path):
    files = {"a.wav": b"1" * 50, "b.wav": b"2" * 50}
    path = packed(tmp_path, files)
    right = record_of(files)
    verify(path, Remote("", holds=right))
    size = Remote("", 51, right["a.wav"].checksum)
    for wrong, message in (
        ({"a.wav": right["a.wav"]}, "it holds 2 files, its record 1"),
        ({**right, "c.wav": right["a.wav"]}, "it holds 2 files, its record 3"),
        ({"a.wav": right["a.wav"], "c.wav": right["b.wav"]}, "or other names"),
        ({**right, "a.wav": size}, "'a.wav' in it has 50 bytes, 51 in its record"),
        ({**right, "a.wav": right["b.wav"]}, "'a.wav' in it is not the record's"),
    ):
        with pytest.raises(Differs, match=message):
            verify(path, Remote("", holds=wrong))


def test_a_zip_of_many_files_with_long_names_is_within_its_limit(tmp_path):
    files = {f"{number:0200d}.wav": b"" for number in range(300)}
    assert packed(tmp_path, files).stat().st_size <= Remote("", holds=record_of(files)).most
