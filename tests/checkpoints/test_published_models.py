"""Checkpoints by name, from a local server: what is shown, compared and recorded, and the error without a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import serve  # noqa: F401
from paths import ROOT

from sed.checkpoints.importers import LICENCES
from sed.checkpoints.pretrained import locate
from sed.checkpoints.published_models import UNKNOWN, cache_of, download, published_models
from sed.data.download.sources import read_records
from sed.errors import RunError, UserError

RELEASE = "fschmid56/PretrainedSED@v0.0.1"
CONTENT = {"with_digest.pt": b"1" * 999, "ATST-F_strong_1.pt": b"2" * 5000, "BEATs_strong_1.pt": b"3" * 70}
"""the loopback server states a checksum of the first and the third, as GitHub does of newer files"""


@pytest.fixture
def server(serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    started = serve(github={RELEASE: dict(CONTENT)})
    monkeypatch.setenv("SED_MIRROR", started.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return started


def test_size_checksum_and_licence_are_shown_and_it_is_fetched_once(
    server: Any, log_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = locate("beats-strong")
    assert path.read_bytes() == CONTENT["BEATs_strong_1.pt"]
    said = next(line for line in log_lines if line.startswith("beats-strong: BEATs_strong_1.pt of"))
    assert "github.com/fschmid56/PretrainedSED/releases/tag/v0.0.1" in said and "70 B" in said
    assert f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}, licence MIT" in said
    asked = len(server.requests)
    monkeypatch.setenv("SED_MIRROR", "http://127.0.0.1:9")  # nobody there
    assert locate("beats-strong") == path and len(server.requests) == asked


def test_a_checksum_that_no_host_states_is_recorded_and_compared(server: Any, log_lines: list[str]) -> None:
    path = download("atst-f-strong")
    found = hashlib.sha256(CONTENT["ATST-F_strong_1.pt"]).hexdigest()
    assert any("no checksum stated by its host, licence MIT" in line for line in log_lines)
    assert f"{path}: SHA-256 {found} is recorded, and compared from now on" in log_lines
    assert path.with_name("ATST-F_strong_1.pt.sha256").read_text() == f"{found}  ATST-F_strong_1.pt\n"
    path.write_bytes(b"4" * 5000)
    with pytest.raises(UserError, match=rf"SHA-256 .*, {found} is recorded in .*remove the file.*; both, if") as error:
        download("atst-f-strong")
    assert "\n" not in str(error.value) and server.requests
    path.with_name("ATST-F_strong_1.pt.sha256").write_bytes(b"\xff\n")  # damaged
    with pytest.raises(UserError, match=r"SHA-256 .*, \S+ is recorded in "):
        download("atst-f-strong")


@pytest.mark.thorough
def test_a_file_placed_by_hand_is_taken_without_a_network(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status["/repos/fschmid56/PretrainedSED/releases/tags/v0.0.1"] = 404
    with pytest.raises(UserError, match="answered 404"):
        download("atst-f-ssl")
    monkeypatch.setenv("SED_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setattr("sed.data.download.fetch.time.sleep", lambda _: None)
    folder = tmp_path / "cache" / "ast-sed" / "atst-f-ssl"
    with pytest.raises(
        RunError, match=rf"get ATST-F_ssl\.pt \(.*v0\.0\.1\) elsewhere and place it in {folder}, or give"
    ):
        download("atst-f-ssl")
    (folder / "ATST-F_ssl.pt").write_bytes(b"mine")
    assert download("atst-f-ssl").read_bytes() == b"mine"


def test_a_file_in_a_read_only_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "ast-sed" / "atst-f-ssl"
    folder.mkdir(parents=True)
    (folder / "ATST-F_ssl.pt").write_bytes(b"placed by hand")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    monkeypatch.setattr("sed.checkpoints.published_models.write_text", refuse)
    assert download("atst-f-ssl") == folder / "ATST-F_ssl.pt"


@pytest.mark.usefixtures("server")
def test_a_file_with_another_sha256_than_the_published_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    models, name = published_models(), "beats-strong"
    monkeypatch.setitem(models, name, models[name]._replace(sha256="0" * 64))
    for _ in range(2):  # also the file of an earlier run
        with pytest.raises(UserError, match=rf"SHA-256 \w+, {'0' * 64} is published"):
            download(name)
    right = hashlib.sha256(CONTENT["BEATs_strong_1.pt"]).hexdigest()
    monkeypatch.setitem(models, name, models[name]._replace(sha256=right))
    assert download(name).read_bytes() == CONTENT["BEATs_strong_1.pt"]


def test_a_user_without_a_home_folder_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(UserError, match=r"atst-f-ssl: no home folder to keep it in \(set HOME"):
        cache_of("atst-f-ssl")


def test_the_cache_is_in_the_home_folder_unless_a_variable_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value, folder in (("", tmp_path / "home" / ".cache"), (str(tmp_path / "other"), tmp_path / "other")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_of("lab/model") == folder / "ast-sed" / "lab--model"


def test_the_table_s_rows_are_records_and_stage_0_has_the_same() -> None:
    models = published_models()
    assert {model.licence for model in models.values()} <= {"MIT", "Apache-2.0"}
    assert all(model.sha256 == UNKNOWN or len(model.sha256) == 64 for model in models.values())
    records = read_records(ROOT / "local/desed_records.tsv")
    for part, name in (("atst_frame", "atst-f-strong"), ("beats", "beats-strong")):
        (row,) = records[part]
        assert (row.source, row.file, row.into) == (models[name].source, models[name].file, f"{part}.pth")
        assert models[name].licence in LICENCES[part]
    with pytest.raises(UserError, match=r"atst-f-strongest: no such checkpoint .*by name there are atst-f-strong, "):
        locate("atst-f-strongest")
