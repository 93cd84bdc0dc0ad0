"""Tables of records, and addresses, sizes and checksums of their files by the hosts."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from paths import ROOT

from sed.data.download.fetch import Fetcher
from sed.data.download.hosts import Hosts
from sed.data.download.sources import COLUMNS, COPY_COLUMNS, Row, read_copies, read_records
from sed.errors import UserError

HEAD = "\t".join(COLUMNS) + "\n"


@pytest.mark.parametrize("table", sorted((ROOT / "local").glob("*_records.tsv")), ids=lambda path: path.name)
def test_the_recipes_tables_read(table: Path) -> None:
    parts = read_records(table)
    rows = [row for files in parts.values() for row in files]
    lines = [line for line in table.read_text().splitlines() if line and not line.startswith("#")]
    assert len(rows) + sum(row.instead is not None for row in rows) == len(lines) - 1
    assert all(row.page.startswith("https://") for row in rows)


def test_an_or_row_is_the_fallback_for_the_one_above(tmp_path: Path) -> None:
    path = tmp_path / "records.tsv"
    path.write_text(
        "# remark\n\n" + HEAD + "a\tzenodo:7\tx.zip\taudio\tone,two\n"
        "b\tzenodo:7\tn.bin\tn.bin\t-\nb\thuggingface:some/model\tm.bin\tm.bin\t-\nb\tor:https://example.org/m?dl=1\tm.pth\tm.pth\t-\n"
    )
    instead = Row("b", "or:https://example.org/m?dl=1", "m.pth", "m.pth")
    assert read_records(path) == {
        "a": [Row("a", "zenodo:7", "x.zip", "audio", ("one", "two"))],
        "b": [
            Row("b", "zenodo:7", "n.bin", "n.bin"),
            Row("b", "huggingface:some/model", "m.bin", "m.bin", (), instead),
        ],
    }
    assert [row.page for row in (*read_records(path)["a"], instead)] == [
        "https://zenodo.org/records/7",
        "https://example.org/m?dl=1",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("part\tsource\n", "records.tsv:1: the columns are part source"),
        (HEAD + "a\tzenodo:7\tx.zip\taudio\n", "records.tsv:2: not a record"),
        (HEAD + "a\tftp:7\tx.zip\taudio\t-\n", "records.tsv:2: not a record"),
        (HEAD + "# x\na\tzenodo:7\tx.zip\t/etc\t-\n", "records.tsv:3: not a record"),
        (HEAD + "a\tzenodo:7\tx.zip\ta/../../b\t-\n", "records.tsv:2: not a record"),
        (HEAD + "a\tzenodo:7\t../x.zip\ta\t-\n", "records.tsv:2: not a record"),
        (HEAD + "a\tzenodo:7\t/x.zip\ta\t-\n", "records.tsv:2: not a record"),
        (HEAD + "a\tzenodo:7/8\tx.zip\ta\t-\n", "records.tsv:2: not a record"),
        (HEAD + "a\thuggingface:a/b/c\tx.zip\ta\t-\n", "records.tsv:2: not a record"),
        (HEAD + "a\tgithub:a/b\tx.zip\ta\t-\n", "records.tsv:2: not a record"),
        (HEAD + "a\tor:https://x\tx.zip\ta\t-\n", "records.tsv:2: an 'or:' row stands in for"),
        (
            HEAD + "a\tzenodo:7\tx.zip\ta\t-\na\tor:https://x\tx.zip\ta\t-\na\tor:https://y\tx.zip\ta\t-\n",
            "records.tsv:4: a second 'or:' row for x.zip",
        ),
        (
            HEAD + "a\tzenodo:7\tx.zip\ta\t-\na\tzenodo:8\tx.zip\tb\t-\n",
            "records.tsv:3: part a has x.zip from another record already",
        ),
    ],
)
def test_broken_tables_are_named_by_their_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "records.tsv").write_text(text)
    with pytest.raises(UserError, match=re.escape(says)):
        read_records(tmp_path / "records.tsv")
    with pytest.raises(UserError, match="no such table of records"):
        read_records(tmp_path / "none.tsv")


def test_hosts_state_size_checksum_and_address_and_are_asked_once(serve) -> None:  # type: ignore[no-untyped-def]
    zip_, model = b"a zip", b"a model"
    server = serve(zenodo={"7": {"x y.zip": zip_, "other": b""}}, huggingface={"some/model": {"m.bin": model}})
    hosts = Hosts(Fetcher(retries=0), server.url)
    remote = hosts.ask(Row("a", "zenodo:7", "x y.zip", "x"))(False)
    assert (remote.size, remote.checksum) == (len(zip_), f"md5:{hashlib.md5(zip_).hexdigest()}")
    assert remote.url.startswith(server.url) and " " not in remote.url
    asked = len(server.requests)
    hosts.ask(Row("a", "zenodo:7", "other", "x"))(False)
    assert len(server.requests) == asked
    hosts.ask(Row("a", "zenodo:7", "other", "x"))(True)
    assert len(server.requests) == asked + 1
    remote = hosts.ask(Row("b", "huggingface:some/model", "m.bin", "x"))(False)
    assert (remote.size, remote.checksum) == (len(model), f"sha256:{hashlib.sha256(model).hexdigest()}")
    with pytest.raises(UserError, match=r"records/7: has no file z\.zip, only other, x y\.zip"):
        hosts.ask(Row("a", "zenodo:7", "z.zip", "x"))(False)
    assert hosts.ask(Row("b", "or:https://example.org/m?dl=1", "m.pth", "m"))(False).url == f"{server.url}/m?dl=1"


def test_copies_go_below_their_folder_and_broken_tables_of_copies_are_refused(tmp_path: Path) -> None:
    for table in (ROOT / "local").glob("*_copies.tsv"):
        parts = read_records(table.with_name(table.name.replace("_copies", "_records")))
        copies = read_copies(table)
        assert copies and copies.keys() <= parts.keys()
        for part in copies:
            assert all(row.into.startswith("copies/") for row in parts[part])
    path = tmp_path / "copies.tsv"
    for line in ("a\tall\tterms", "a\tany", "a\tany\tone\na\tany\ttwo"):
        path.write_text("\t".join(COPY_COLUMNS) + f"\n{line}\n")
        with pytest.raises(UserError, match=r"copies\.tsv:\d: not a copy"):
            read_copies(path)


def test_rows_of_a_pattern_go_below_their_folder() -> None:
    row = Row("x", "huggingface:datasets/a/b", "audio/train/w*", "copies/x")
    assert row.folder == "audio/train"
    one = row.of("audio/train/weak/1.wav")
    assert (one.into, one.archive, one.folder) == ("copies/x/weak/1.wav", "x/audio/train/weak/1.wav", "audio/train")
    assert row.fits(one.file) and not row.fits("audio/validation/1.wav")
    assert not row.fits("audio/train/W1.wav"), "names that differ in case are different files"
    archives = Row("x", "zenodo:7", "*.zip", "audio", ("train",))
    assert archives.of("1.zip").into == "audio"
    whole = Row("x", "zenodo:7", "files-archive", ".", ("audio",))
    assert whole.archive == "7.zip" and whole.fits("7.zip")
