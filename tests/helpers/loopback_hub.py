"""A server with the part of Hugging Face's API that huggingface_hub uses for models; it can kill its client.

By the hub's public description, it has create, validate, preupload, LFS batches, commits, revisions, trees and files.
Large files are stored by their SHA-256 before any commit names them, as the hub does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import pytest


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: {name: {file: bytes}}.
        objects: {SHA-256: bytes} of large files.
        requests: (method, path) of each.
        kill: (n, process id): the process is killed during the n-th request from now on.
        token: that clients have to give to write; None: none.
        private: names of private repositories.
        counting: lock of `kill`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.kill: tuple[int, int] | None = None
        self.token: str | None = None
        self.private: list[str] = []
        self.counting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit_of(self, name: str) -> str:
        """Return the commit of a repository, a hash of its files."""
        listing = sorted((path, hashlib.sha256(data).hexdigest()) for path, data in self.repositories[name].items())
        return hashlib.sha1(json.dumps(listing).encode()).hexdigest()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that was killed


def is_large(path: str) -> bool:
    """Return whether a file is uploaded by LFS."""
    return path.endswith(".safetensors")


def blob(data: bytes) -> str:
    """Return git's SHA-1 of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def do_PUT(self) -> None:
        self._route()

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        self._dies = False
        with self.server.counting:
            if self.server.kill is not None:
                left, self._process = self.server.kill
                self._dies = left == 1
                self.server.kill = None if self._dies else (left - 1, self._process)
        body = self._body()
        writes = re.search(r"/(create|commit/[^/]+|preupload/[^/]+|batch)$", path)  # a PUT goes to a signed address
        if writes and self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._answer(401, {"error": "no"})
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, path):
                return getattr(self, method)(body, *found.groups())
        return self._answer(404, {"error": "no such address"})

    def _body(self) -> bytes:
        """Return the body of the request; if its client is to be killed, do so half-way through the body."""
        length = int(self.headers.get("Content-Length") or 0)
        if self._dies and length > 1:
            self.rfile.read(length // 2)
            self._die()
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(length)

    def _die(self) -> NoReturn:
        os.kill(self._process, signal.SIGKILL)
        self.close_connection = True
        raise ConnectionError("its client was killed")

    def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        if self._dies and self.command == "HEAD":
            self._die()
        self.send_response(status)
        for key, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self._dies:
            self.wfile.write(data[: len(data) // 2])
            self._die()
        self.wfile.write(data)

    def _missing(self, name: str) -> bool:
        """Return whether there is no such repository; answer 404 if so."""
        if name in self.server.repositories:
            return False
        self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return True

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            return self._answer(409, {"error": "exists", "url": f"{self.server.url}/{name}"})
        self.server.repositories[name] = {".gitattributes": b"*.safetensors filter=lfs\n"}
        if asked.get("visibility") == "private" or asked.get("private"):
            self.server.private.append(name)
        return self._answer(200, {"url": f"{self.server.url}/{name}", "id": name})

    def validate(self, body: bytes) -> None:
        import yaml

        content = json.loads(body)["content"]
        matter = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            assert matter and isinstance(yaml.safe_load(matter[1]), dict)
        except (AssertionError, yaml.YAMLError) as error:
            return self._answer(400, {"errors": [{"message": str(error)}], "warnings": []})
        return self._answer(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, _revision: str) -> None:
        if self._missing(name):
            return
        files = self.server.repositories[name]
        modes = [
            {
                "path": (path := one["path"]),
                "uploadMode": "lfs" if is_large(path) else "regular",
                "shouldIgnore": False,
                "oid": None
                if path not in files
                else hashlib.sha256(files[path]).hexdigest()
                if is_large(path)
                else blob(files[path]),
            }
            for one in json.loads(body)["files"]
        ]
        self._answer(200, {"files": modes})

    def batch(self, body: bytes, _name: str) -> None:
        objects = [
            {"oid": one["oid"], "size": one["size"]}
            if one["oid"] in self.server.objects
            else {**one, "actions": {"upload": {"href": f"{self.server.url}/objects/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._answer(400, {"error": "other bytes"})
        self.server.objects[oid] = body
        return self._answer(200, {})

    def commit(self, body: bytes, name: str, _revision: str) -> None:
        if self._missing(name):
            return
        files = dict(self.server.repositories[name])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.server.repositories[name] = files
        commit = self.server.commit_of(name)
        answer = {"commitOid": commit, "commitUrl": f"{self.server.url}/{name}/commit/{commit}", "success": True}
        self._answer(200, answer)

    def information(self, _body: bytes, name: str, revision: str | None = None) -> None:
        if self._missing(name):
            return
        commit = self.server.commit_of(name)
        if revision not in (None, "main", commit):
            return self._answer(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        siblings = [{"rfilename": path} for path in sorted(self.server.repositories[name])]
        return self._answer(200, {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": []})

    def tree(self, _body: bytes, name: str, _revision: str) -> None:
        if self._missing(name):
            return
        listing = []
        for path, data in sorted(self.server.repositories[name].items()):
            one = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
            if is_large(path):
                one["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            listing.append(one)
        self._answer(200, listing)

    def file(self, _body: bytes, name: str, _revision: str, path: str) -> None:
        if self._missing(name):
            return
        data = self.server.repositories[name].get(path)
        if data is None:
            return self._answer(404, {"error": "no"}, {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(data).hexdigest() if is_large(path) else blob(data)
        headers = {"X-Repo-Commit": self.server.commit_of(name), "ETag": f'"{etag}"'}
        if is_large(path):
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._answer(206 if start else 200, data[start:], headers)

    def log_message(self, format: str, *args: object) -> None:
        pass


ROUTES = [
    (r"/api/repos/create", "create"),
    (r"/api/validate-yaml", "validate"),
    (r"/api/models/([^/]+/[^/]+)/preupload/(.+)", "preupload"),
    (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
    (r"/objects/(\w+)", "store"),
    (r"/api/models/([^/]+/[^/]+)/commit/(.+)", "commit"),
    (r"/api/models/([^/]+/[^/]+)", "information"),
    (r"/api/models/([^/]+/[^/]+)/revision/(.+)", "information"),
    (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
    (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "file"),
]


@contextmanager
def loopback_hub(monkeypatch: pytest.MonkeyPatch, cache: Any) -> Iterator[Hub]:
    """Start a hub, and let huggingface_hub use it by its constants, since it reads the environment at import only."""
    from huggingface_hub import constants

    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # another protocol, whose server is not described
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.token = "secret"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
