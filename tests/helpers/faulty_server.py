"""A loopback HTTP server that serves records as Zenodo, Hugging Face and GitHub do, and fails as often as requested."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import socket
import tarfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


@dataclass
class Faults:
    """Faults of a server, at most one per request.

    Attributes:
        error, busy: probability of status 500, and of 429 with Retry-After.
        drop, stall: of a connection closed at a random byte, at once or after `stalled` seconds.
        wrong: of one wrong byte.
        longer: of more bytes than the file has.
        total: of a wrong total size in Content-Range.
        whole: of the whole file instead of the requested range.
        none: of status 416 for a valid range.
        tag: of another ETag.
        seed: of the random numbers.
        most: number of drawn faults after which there are no more, so that a test ends.
        retry_after: value of Retry-After.
        stalled: seconds of a stall.
        wrong_in: `wrong` occurs only in paths that contain this.
        kinds: {fault: how often it was drawn, also for requests that it does not change: `whole` without a range}.
    """

    error: float = 0.0
    busy: float = 0.0
    drop: float = 0.0
    stall: float = 0.0
    wrong: float = 0.0
    longer: float = 0.0
    total: float = 0.0
    whole: float = 0.0
    none: float = 0.0
    tag: float = 0.0
    seed: int = 0
    most: int = 1000
    retry_after: str = "0"
    stalled: float = 1.5
    wrong_in: str = ""
    kinds: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def draw(self, path: str) -> str:
        """Return the fault of the next request, '' for none."""
        at = self.random.random()
        for kind in ("error", "busy", "drop", "stall", "wrong", "longer", "total", "whole", "none", "tag"):
            at -= getattr(self, kind)
            if at < 0 and kind == "wrong" and self.wrong_in not in path:
                return ""
            if at < 0 and sum(self.kinds.values()) < self.most:
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
                return kind
        return ""


@dataclass
class Answer:
    """A body that was sent: `sent` bytes of the file `path` from byte `start` on; `end` is the size of the file."""

    path: str
    start: int
    end: int
    fault: str
    sent: int = 0


class FaultyServer(ThreadingHTTPServer):
    """A server of {record: {file: bytes}} of Zenodo, {model: {file: bytes}} of Hugging Face, releases of GitHub.

    Data sets of Hugging Face are called datasets/<name>, releases of GitHub <repository>@<tag>. `other` has {path:
    bytes} of other addresses. ranges: whether Range is honoured. rate: bytes per second and connection (0: no limit).
    page: entries per page of a data set's listing.
    """

    daemon_threads = True

    def __init__(
        self, zenodo=None, huggingface=None, other=None, faults=None, ranges=True, rate=0, github=None, page=3
    ):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.zenodo, self.huggingface, self.other = zenodo or {}, huggingface or {}, other or {}
        self.github, self.page = github or {}, page
        self.faults = faults or Faults()
        self.ranges, self.rate = ranges, rate
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str]] = []  # path, Range
        self.etags = True
        self.type = "application/octet-stream"
        self.status: dict[str, int] = {}  # path -> status of all its answers

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def sent(self) -> int:
        """Number of bytes of all bodies that were sent."""
        return sum(answer.sent for answer in self.answers)

    def overhead(self) -> dict[str, int]:
        """Return numbers of bytes sent: of all listings, beyond the ends of files, and of each file more than once."""
        files = [answer for answer in self.answers if not _is_listing(answer.path)]
        inside, ends = Counter[str](), {answer.path: answer.end for answer in files}
        for answer in files:
            inside[answer.path] += min(answer.sent, answer.end - answer.start)
        listings = sum(answer.sent for answer in self.answers if _is_listing(answer.path))
        beyond = sum(max(0, answer.start + answer.sent - answer.end) for answer in files)
        again = {path: count - ends[path] for path, count in inside.items() if count > ends[path]}
        return {"listings": listings, "beyond an end": beyond, **again}

    @property
    def size(self) -> int:
        """Number of bytes of all files on Zenodo, Hugging Face and GitHub."""
        records = (*self.zenodo.values(), *self.huggingface.values(), *self.github.values())
        return sum(len(b) for files in records for b in files.values())

    def answer(self, path: str, query: str) -> tuple[bytes | None, str]:
        """Return the content of an address (None: 404), and the address of the listing's next page ('': none)."""
        match = re.fullmatch(r"/api/(datasets/.+)/tree/main(?:/(.+))?", path)
        if match is None or match[1] not in self.huggingface:
            return self.body(path), ""
        asked = parse_qs(query)
        folder = unquote(match[2] or "")
        within = f"{folder}/" if folder else ""
        files = {k: b for k, b in self.huggingface[match[1]].items() if k.startswith(within)}
        if asked.get("recursive") != ["true"]:
            files = {k: b for k, b in files.items() if "/" not in k.removeprefix(within)}
        listing = _tree(files, folder)
        at = int(asked.get("cursor", ["0"])[0])
        following = f"https://huggingface.co{path}?recursive=true&cursor={at + self.page}"
        more = at + self.page < len(listing)
        return json.dumps(listing[at : at + self.page]).encode(), following if more else ""

    def body(self, path: str) -> bytes | None:
        """Return the content of an address; None: there is none."""
        if match := re.fullmatch(r"/api/records/(\d+)/files-archive", path):
            return zipped(self.zenodo[match[1]]) if match[1] in self.zenodo else None
        if match := re.fullmatch(r"/repos/([^/]+/[^/]+)/releases/tags/(.+)", path):
            return _release(self.github.get(f"{match[1]}@{unquote(match[2])}"))
        if match := re.fullmatch(r"/([^/]+/[^/]+)/releases/download/([^/]+)/(.+)", path):
            return self.github.get(f"{match[1]}@{unquote(match[2])}", {}).get(unquote(match[3]))
        if match := re.fullmatch(r"/api/records/(\d+)", path):
            if (files := self.zenodo.get(match[1])) is None:
                return None
            listing = [
                {"key": k, "size": len(b), "checksum": "md5:" + hashlib.md5(b).hexdigest()} for k, b in files.items()
            ]
            about = {"title": "made up", "license": {"id": "cc-by-4.0"}}
            return json.dumps({"id": int(match[1]), "metadata": about, "files": listing}).encode()
        if match := re.fullmatch(r"/records/(\d+)/files/(.+)", path):
            return self.zenodo.get(match[1], {}).get(unquote(match[2]))
        if match := re.fullmatch(r"/api/models/(.+)/tree/main", path):
            if (files := self.huggingface.get(match[1])) is None:
                return None
            listing = [
                {"type": "file", "path": k, "size": len(b), "lfs": {"oid": hashlib.sha256(b).hexdigest()}}
                for k, b in files.items()
            ]
            # config.json is small, so that it has no `lfs` and thus no SHA-256; no test downloads it
            return json.dumps([{"type": "file", "path": "config.json", "size": 3, "oid": "0" * 40}, *listing]).encode()
        if match := re.fullmatch(r"/(.+)/resolve/main/(.+)", path):
            return self.huggingface.get(match[1], {}).get(unquote(match[2]))
        return self.other.get(path)

    def handle_error(self, request, client_address):
        pass  # a client that was killed


def _is_listing(path: str) -> bool:
    """Return whether the answer of an address is a host's list of files, and not a file or an archive of files."""
    return path.startswith(("/api/", "/repos/")) and not path.endswith("/files-archive")


def _tree(files: dict[str, bytes], folder: str) -> list[dict]:
    """Return a data set's listing: folders, large files (LFS, with a SHA-256) and small ones (with git's SHA-1)."""
    listing: list[dict] = [
        {"type": "directory", "path": f"{folder}/sub" if folder else "sub", "size": 0, "oid": "0" * 40}
    ]
    for name, content in files.items():
        git = hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()
        entry = {"type": "file", "path": name, "size": len(content), "oid": git}
        if len(content) > 1000:
            entry |= {"oid": "f" * 40, "lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}}
        listing.append(entry)
    return listing


def _release(files: dict[str, bytes] | None) -> bytes | None:
    """Return a release as GitHub's API has it; every second asset has no digest, like those from before 2025."""
    if files is None:
        return None
    assets = [
        {"name": k, "size": len(b), "digest": "sha256:" + hashlib.sha256(b).hexdigest() if n % 2 == 0 else None}
        for n, (k, b) in enumerate(files.items())
    ]
    return json.dumps({"tag_name": "v1", "assets": assets}).encode()


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # or a body waits 40 ms for the acknowledgement of its headers
    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, path = self.server, urlsplit(self.path).path
        asked = self.headers.get("Range", "")
        server.requests.append((path, asked))
        fault = server.faults.draw(path)
        body, following = server.answer(path, urlsplit(self.path).query)
        if path in server.status or fault in ("error", "busy") or body is None:
            status = server.status.get(path) or {"error": 500, "busy": 429}.get(fault, 404)
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", server.faults.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size, start, etag = len(body), 0, '"' + hashlib.md5(body).hexdigest() + "x" * (fault == "tag") + '"'
        condition = self.headers.get("If-Range", etag)
        if server.ranges and asked and condition == etag and fault != "whole":
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first)
            body = body[: int(last) + 1] if last else body
            if start >= len(body) or fault == "none":
                self.send_response(416)  # of a valid range, it claims that the file ends where the range begins
                self.send_header("Content-Range", f"bytes */{min(start, len(body))}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{size + 7 * (fault == 'total')}")
        else:
            self.send_response(200)
        rest = bytearray(body[start:])
        if fault == "wrong" and rest:
            rest[server.faults.random.randrange(len(rest))] ^= 0x55
        if fault == "longer":  # without a length, until the connection is closed
            rest += bytes(1000 if path.startswith("/api/") else 1 << 20)
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(rest)))
        self.send_header("Content-Type", server.type)
        if following:
            self.send_header("Link", f'<{following}>; rel="next"')
        if server.etags:
            self.send_header("ETag", etag)
        self.end_headers()
        self._send(rest, Answer(path, start, size, fault))

    def _send(self, rest: bytearray, answer: Answer) -> None:
        server, fault = self.server, answer.fault
        server.answers.append(answer)
        # Small buffers, so that what a killed client never read is not counted as sent.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        stop = server.faults.random.randrange(len(rest)) if fault in ("drop", "stall") and rest else len(rest)
        step = max(1024, min(server.rate // 100, 1 << 16)) if server.rate else 1 << 16
        for at in range(0, stop, step):
            block = rest[at : min(at + step, stop)]
            self.wfile.write(block)
            answer.sent += len(block)
            if server.rate:
                time.sleep(len(block) / server.rate)
        if stop < len(rest):
            if fault == "stall":
                time.sleep(server.faults.stalled)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve():
    """Start a FaultyServer; it stops when the test ends."""
    servers = []

    def start(*args, **kwargs) -> FaultyServer:
        server = FaultyServer(*args, **kwargs)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip of {path: content}, compressed by one of zipfile's methods."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as container:
        for name, content in files.items():
            container.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """Return a .tar.gz of {path: content}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as container:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            container.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def webdataset(sounds: dict[str, bytes]) -> bytes:
    """Return a .tar of {file name: content}, each with a .json of its events beside it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as container:
        for name, content in sounds.items():
            stem = name.strip("/").rpartition(".")[0]
            events = json.dumps([{"onset": 0.0, "offset": 10.0, "label": "Speech,Dog"}]).encode()
            for member, body in ((name.strip("/"), content), (f"{stem}.json", events)):
                info = tarfile.TarInfo(member)
                info.size = len(body)
                container.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def made_up_desed(scale: int = 20_000, seed: int = 0, sound: Callable[[str], bytes] | None = None) -> dict:
    """Return arguments of FaultyServer that serve made-up records of local/desed_records.tsv.

    X-ARES's copy has three of the weak clips and two of the validation clips; the copy for research only has all weak,
    unlabelled and validation clips.

    Args:
        scale: size of a recording in bytes.
        seed: of the recordings' bytes.
        sound: returns the content of the recording of a name, instead of random bytes.

    Returns:
        {argument: {record, model or release: {file: content}}}.
    """
    noise = random.Random(seed)
    sound = sound or (lambda _name: noise.randbytes(scale))

    def tsv(*rows: str) -> bytes:
        return "".join(row + "\n" for row in rows).encode()

    def sounds(folder: str, names: list[str]) -> dict[str, bytes]:
        return {f"{folder}/{name}": sound(name) for name in names}

    synthetic = {}
    for part in ("train", "validation"):
        names = [f"{i}.wav" for i in range(30 if part == "train" else 10)]
        synthetic |= sounds(f"dcase_synth/audio/{part}/synthetic21_{part}/soundscapes", names)
        rows = [f"{name}\t0.5\t2.0\tSpeech" for name in names]
        synthetic[f"dcase_synth/metadata/{part}/synthetic21_{part}/soundscapes.tsv"] = tsv(
            "filename\tonset\toffset\tevent_label", *rows
        )
    real = [f"Y{i:011d}_30.000_40.000.wav" for i in range(20)]
    metadata = {
        "metadata/train/weak.tsv": tsv("filename\tevent_labels", *(f"{n}\tSpeech,Dog" for n in real[:5])),
        "metadata/train/unlabel_in_domain.tsv": tsv("filename", *real[5:12]),
        "metadata/validation/validation.tsv": tsv(
            "filename\tonset\toffset\tevent_label", *(f"{n}\t0\t1.5\tCat" for n in real[12:16])
        ),
    }
    strong = tsv("filename\tonset\toffset\tevent_label", *(f"{n}\t1\t2.5\tCat" for n in real[14:]))
    names = [f"P{i:010d}_120_130.wav" for i in range(5)]
    public = sounds("dataset/audio/eval/public", names)
    public["dataset/metadata/eval/public.tsv"] = tsv(
        "filename\tonset\toffset\tevent_label", *(f"{n}\t0\t1\tDog" for n in names)
    )
    public["license_public_eval.tsv"] = b"filename\tlicense\n"
    weak, validation = sounds("", real[:3]), sounds("", real[12:14])
    folders = {"train/weak": real[:5], "train/unlabel_in_domain": real[5:12], "validation": real[12:16]}
    again = {path: body for folder, names in folders.items() for path, body in sounds(f"audio/{folder}", names).items()}
    return {
        "zenodo": {
            "14808180": {
                "wds-audio-train-0000.tar": webdataset(weak),
                "wds-audio-eval-0000.tar": webdataset(validation),
                "README.md": b"made up",
            },
            "6026841": {"dcase_synth.zip": zipped(synthetic)},
            "4639776": {"audioset_metadata.tar.gz": tarred(metadata)},
            "6444477": {"audioset_strong.tsv": strong},
            "4560759": {"DESED_public_eval.tar.gz": tarred(public)},
            "4307908": {
                "DESED_synth_soundbank.tar.gz": tarred(sounds("audio/train/soundbank/foreground/Cat", ["1.wav"])),
                "soundbank_validation.tsv": b"filepath\n",
            },
            "3987831": {"Cnn14_16k_mAP=0.438.pth": noise.randbytes(scale)},
        },
        "huggingface": {
            "MIT/ast-finetuned-audioset-10-10-0.4593": {"model.safetensors": noise.randbytes(5 * scale)},
            "datasets/minhleduc/DESED": {**again, "missing.tsv": b"filename\n"},
        },
        "github": {
            "fschmid56/PretrainedSED@v0.0.1": {
                f"{name}_strong_1.pt": noise.randbytes(scale) for name in ("ATST-F", "BEATs")
            },
        },
    }
