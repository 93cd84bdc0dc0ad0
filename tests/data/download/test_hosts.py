"""Statements of Zenodo, Hugging Face and GitHub on records: files, sizes, checksums, terms, and errors."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from faulty_server import Faults

from sed.data.download import fetch
from sed.data.download.fetch import Fetcher
from sed.data.download.hosts import Hosts
from sed.data.download.parts import Parts
from sed.data.download.sources import Copy, Row
from sed.errors import RunError, UserError

SMALL, LARGE = b"small", b"large" * 1000
FILES = {f"audio/train/{kind}/{n}.wav": bytes([n]) * (10 if n % 2 else 3000) for kind in "ab" for n in range(4)}
DATASET = Row("copy", "huggingface:datasets/some/set", "audio/train/*", "copies/copy")


def hosts_of(server, **how) -> Hosts:  # type: ignore[no-untyped-def]
    return Hosts(Fetcher(**{"retries": 2, "backoff": 0.01, "timeout": 5.0, **how}), server.url)


def get(hosts: Hosts, folder: Path, row: Row, **how) -> None:  # type: ignore[no-untyped-def]
    folder.mkdir(exist_ok=True)
    stage = Parts(folder, fetcher=hosts.fetcher, hosts=hosts, **how)
    stage.get(stage.missing({row.part: [row]}))


def test_large_and_small_files_of_a_data_set_are_checked_and_placed(serve, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server = serve(huggingface={"datasets/some/set": {**FILES, "README.md": SMALL, "data/x y.bin": LARGE}})
    hosts = hosts_of(server)
    rows = hosts.expand(DATASET)
    assert [row.file for row in rows] == sorted(FILES)
    remotes = {row.file: hosts.ask(row)(False) for row in rows}
    kinds = {len(FILES[name]) < 1000: (remote.checksum or "").partition(":")[0] for name, remote in remotes.items()}
    assert kinds == {True: "git", False: "sha256"}
    git = hashlib.sha1(b"blob 10\0" + bytes([1]) * 10).hexdigest()
    assert remotes["audio/train/a/1.wav"].checksum == f"git:{git}"
    get(hosts, tmp_path / "d", DATASET)
    for name, content in FILES.items():
        assert (tmp_path / "d" / "copies/copy" / name.removeprefix("audio/train/")).read_bytes() == content
    assert not (tmp_path / "d" / "archives").exists() or not list((tmp_path / "d/archives").rglob("*.wav"))
    asked = len(server.requests)
    get(hosts_of(server), tmp_path / "d", DATASET)
    assert len(server.requests) == asked, "what is done asks nobody"
    one = Row("one", "huggingface:datasets/some/set", "data/x y.bin", "x.bin")
    get(hosts, tmp_path / "d", one)
    assert (tmp_path / "d" / "x.bin").read_bytes() == LARGE


def test_a_pattern_without_a_folder_is_for_the_whole_data_set(serve) -> None:  # type: ignore[no-untyped-def]
    hosts = hosts_of(serve(huggingface={"datasets/some/set": {**FILES, "README.md": SMALL}}))
    row = Row("all", "huggingface:datasets/some/set", "*.wav", "copies/all")
    assert row.folder == "" and [found.file for found in hosts.expand(row)] == sorted(FILES)


@pytest.mark.thorough
def test_a_data_set_is_whole_though_its_server_fails_and_lies(serve, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for seed in range(3):
        faults = Faults(error=0.1, busy=0.1, drop=0.15, wrong=0.1, seed=seed, most=40)
        server = serve(huggingface={"datasets/some/set": FILES}, faults=faults)
        get(hosts_of(server, retries=40), tmp_path / str(seed), DATASET)
        for name, content in FILES.items():
            assert (tmp_path / str(seed) / "copies/copy" / name.removeprefix("audio/train/")).read_bytes() == content


def test_files_of_a_release_are_downloaded_with_and_without_digests(serve, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server = serve(
        github={"some/code@v1.0": {"a.pt": LARGE, "b.pt": SMALL}},
        other={"/repos/some/code": b'{"license": {"spdx_id": "MIT"}}'},
    )
    hosts, row = hosts_of(server), Row("release", "github:some/code@v1.0", "*.pt", "weights")
    assert row.page == "https://github.com/some/code/releases/tag/v1.0"
    assert hosts.terms(row) == "licence MIT"
    assert [hosts.ask(one)(False).checksum is None for one in hosts.expand(row)] == [False, True]
    get(hosts, tmp_path / "d", row)
    assert ((tmp_path / "d/weights/a.pt").read_bytes(), (tmp_path / "d/weights/b.pt").read_bytes()) == (LARGE, SMALL)


def test_a_zenodo_record_as_one_archive_is_checked_file_by_file(serve, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files = {"x.tar": LARGE, "y.txt": SMALL}
    row = Row("whole", "zenodo:7", "files-archive", "all", ("x.tar",))
    get(hosts_of(serve(zenodo={"7": files})), tmp_path / "d", row)
    assert (tmp_path / "d/all/x.tar").read_bytes() == LARGE and (tmp_path / "d/all/y.txt").read_bytes() == SMALL
    assert zipfile.is_zipfile(tmp_path / "d/archives/7.zip")
    record = {"files": [{"key": k, "size": len(b), "checksum": f"md5:{'0' * 32}"} for k, b in files.items()]}
    liar = serve(zenodo={"7": files}, other={})
    liar.body = lambda path, body=liar.body: json.dumps(record).encode() if path == "/api/records/7" else body(path)
    with pytest.raises(UserError, match=r"'x\.tar' in it is not the record's"):
        get(hosts_of(liar), tmp_path / "e", row)
    assert not (tmp_path / "e/all").exists()


def test_a_zenodo_archive_without_end_is_cut(serve, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server = serve(zenodo={"7": {"x": SMALL}})
    server.body = lambda path, body=server.body: bytes(1 << 20) if path.endswith("files-archive") else body(path)
    with pytest.raises(UserError, match=r"which is more than the \d+ bytes of its record"):
        get(hosts_of(server), tmp_path / "d", Row("whole", "zenodo:7", "files-archive", "all", ("x",)))
    assert not list((tmp_path / "d").rglob("*.part"))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", "a\\b", "a\nb", ".", "x" * 2000])
def test_names_that_are_not_plain_relative_paths_are_refused(serve, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    server = serve(huggingface={"datasets/some/set": {}}, zenodo={"7": {}})
    entry = {"type": "file", "path": name, "key": name, "size": 1, "oid": "0" * 40, "checksum": "md5:" + "0" * 32}
    bodies = {"/api/records/7": {"files": [entry]}, "/api/datasets/some/set/tree/main": [entry]}
    server.answer = lambda path, _query: (json.dumps(bodies[path]).encode() if path in bodies else None, "")
    for source in ("zenodo:7", "huggingface:datasets/some/set"):
        with pytest.raises(RunError, match="not the listing that was expected"):
            get(hosts_of(server, retries=0), tmp_path / "d", Row("x", source, "*", "copies/x"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_pages_without_an_end_are_cut(serve, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(fetch, "PAGES", 20)
    server = serve(huggingface={"datasets/some/set": FILES})
    server.answer = lambda path, _query: (b"[]", f"https://huggingface.co{path}?recursive=true&cursor=1")
    with pytest.raises(UserError, match="a listing of over 20 pages"):
        hosts_of(server).expand(DATASET)
    assert len(server.requests) == 20
    monkeypatch.setattr(fetch, "LISTINGS", 1000)
    server.answer = lambda path, _query: (b"[" + b" " * 400 + b"]", f"https://huggingface.co{path}?cursor=1")
    with pytest.raises(UserError, match="a listing of over 3 pages"):
        hosts_of(server).expand(DATASET)


def test_a_copy_that_cannot_be_downloaded_is_one_line_and_not_an_error(serve, tmp_path: Path, caplog) -> None:  # type: ignore[no-untyped-def]
    copies = {"copy": Copy("any", "terms of a copy")}
    caplog.set_level("INFO")
    get(hosts_of(serve(huggingface={"datasets/some/set": {"other/a": SMALL}})), tmp_path / "d", DATASET, copies=copies)
    assert "copy: done without this copy" in caplog.text and "its layout differs" in caplog.text
    assert not (tmp_path / "d" / ".copy.done").exists()
    card = {"/api/datasets/some/set": json.dumps({"cardData": {"license": "cc-by-4.0"}}).encode()}
    get(hosts_of(serve(huggingface={"datasets/some/set": FILES}, other=card)), tmp_path / "d", DATASET, copies=copies)
    assert "terms of a copy; its record: licence cc-by-4.0; 8 files" in caplog.text
    assert (tmp_path / "d" / ".copy.done").exists()


def test_githubs_limit_of_requests_is_waited_for(serve) -> None:  # type: ignore[no-untyped-def]
    server = serve(github={"some/code@v1": {"a.pt": SMALL}})
    place = "/repos/some/code/releases/tags/v1"
    server.status[place] = 429
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        server.status.clear()

    hosts = Hosts(Fetcher(retries=3, pause=pause), server.url)
    assert hosts.ask(Row("x", "github:some/code@v1", "a.pt", "x"))(False).size == len(SMALL)
    assert len(waited) == 1
