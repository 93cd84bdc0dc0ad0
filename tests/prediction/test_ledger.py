"""The ledger of --watch: cut off anywhere, it and the table return to the state after the last complete recording."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sed.errors import UserError
from sed.prediction.ledger import open_ledger

NAMES = ["a.wav", "ü/\udcff b.wav", "c.wav"]


def written(folder: Path) -> tuple[Path, Path]:
    """Write a ledger and its table: a header, then an event of each of NAMES."""
    state, table = folder / "state.jsonl", folder / "table.tsv"
    with open_ledger(state, table) as ledger:
        assert ledger.table is not None
        ledger.begin()
        ledger.table.write("header\n")
        for name in NAMES:
            ledger.table.write(f"{name}\tevent ü\n")
            ledger.add(name, events=1)
    return state, table


def test_what_was_done_comes_back(tmp_path: Path) -> None:
    state, table = written(tmp_path)
    before = table.read_bytes()
    with open_ledger(state, table) as ledger:
        assert list(ledger.done) == NAMES and all(line["events"] == 1 for line in ledger.done.values())
    assert table.read_bytes() == before
    assert json.loads(state.read_bytes().splitlines()[-1])["end"] == len(before)


def test_a_recordings_events_are_on_the_disk_before_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, table = written(tmp_path)
    synchronised: list[tuple[int, int]] = []  # inode and size of each file

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synchronised.append((status.st_ino, status.st_size))

    with open_ledger(state, table) as ledger:
        assert ledger.table is not None
        monkeypatch.setattr(os, "fsync", fsync)
        ledger.table.write("x")
        ledger.add("d.wav")
        monkeypatch.undo()
        assert synchronised == [(path.stat().st_ino, path.stat().st_size) for path in (table, state)]


@pytest.mark.thorough
def test_a_kill_at_any_byte_leaves_whole_recordings(tmp_path: Path) -> None:
    """Both files cut where a kill may leave them: the table is never behind the ledger, which is written after it."""
    state, table = written(tmp_path)
    lines, events = state.read_bytes(), table.read_bytes()
    ends = [json.loads(line)["end"] for line in lines.splitlines()]
    for cut in range(lines.index(b"\n") + 1, len(lines) + 1):
        done = lines[:cut].count(b"\n") - 1
        upto = ends[done]
        for length in {upto, min(upto + 3, len(events)), min([end for end in ends if end > upto], default=len(events))}:
            state.write_bytes(lines[:cut])
            table.write_bytes(events[:length])
            with open_ledger(state, table) as ledger:
                assert list(ledger.done) == NAMES[:done]
                assert table.read_bytes() == events[:upto]
                ledger.begin()
            assert all(json.loads(line) for line in state.read_bytes().splitlines())


def test_a_table_that_was_moved_away_begins_again(tmp_path: Path) -> None:
    state, table = written(tmp_path)
    table.unlink()
    for text in ("x", "y"):
        with open_ledger(state, table) as ledger:
            ledger.begin()
            assert ledger.table is not None
            ledger.table.write(text)
            ledger.add(text)
    assert table.read_text() == "xy"


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.tsv").write_text("mine")
    with pytest.raises(UserError, match=r"table.tsv: not written by --watch"):  # noqa: SIM117
        with open_ledger(tmp_path / "state", tmp_path / "table.tsv"):
            pass
    assert (tmp_path / "table.tsv").read_text() == "mine"


@pytest.mark.parametrize("text", ["mine", "mine\n" * 100])
@pytest.mark.parametrize("recordings", [0, 3])
def test_another_table_of_the_same_ledger_is_refused_and_stays(tmp_path: Path, text: str, recordings: int) -> None:
    state, _ = written(tmp_path)
    lines = state.read_bytes().splitlines(keepends=True)
    state.write_bytes(b"".join(lines[: 1 + recordings]))
    other = tmp_path / "other.tsv"
    other.write_text(text)
    with pytest.raises(UserError, match=r"other.tsv: not written by --watch"), open_ledger(state, other):
        pass
    assert other.read_text() == text


def test_a_table_and_its_ledger_may_be_moved_together(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    _, table = written(tmp_path / "old")
    before = table.read_bytes()
    table.write_bytes(before + b"cut sh")
    (tmp_path / "old").rename(tmp_path / "new")
    with open_ledger(tmp_path / "new" / "state.jsonl", tmp_path / "new" / "table.tsv") as ledger:
        assert list(ledger.done) == NAMES
    assert (tmp_path / "new" / "table.tsv").read_bytes() == before


@pytest.mark.parametrize("recordings", [0, 3])
def test_a_ledger_of_an_earlier_version_is_continued_unless_the_table_has_more(tmp_path: Path, recordings: int) -> None:
    """It does not identify its table, so nothing is removed from the one that is given."""
    state, table = written(tmp_path)
    lines = [json.loads(line) for line in state.read_bytes().splitlines()][: 1 + recordings]
    old = [{key: value for key, value in line.items() if key not in {"table", "tail"}} for line in lines]
    state.write_text("".join(json.dumps(line) + "\n" for line in old))
    before = table.read_bytes()[: lines[-1]["end"]]
    table.write_bytes(before)
    with open_ledger(state, table) as ledger:
        assert list(ledger.done) == NAMES[:recordings]
    assert table.read_bytes() == before
    table.write_bytes(before + b"more")
    with pytest.raises(UserError, match=r"table.tsv: not written by --watch"), open_ledger(state, table):
        pass
    assert table.read_bytes() == before + b"more"


@pytest.mark.parametrize(
    "line,message",
    [
        (b"[]", ":2: not what"),
        (b'{"name": 3}', ":2: not what"),
        (b"x", ":2: not what"),
        (b'{"format": 2}', ":2: written by another version"),
    ],
)
def test_a_damaged_ledger_is_refused_with_its_line(tmp_path: Path, line: bytes, message: str) -> None:
    state, table = written(tmp_path)
    lines = state.read_bytes().splitlines()
    state.write_bytes(b"\n".join([lines[0], line, *lines[2:]]) + b"\n")
    with pytest.raises(UserError, match=message), open_ledger(state, table):
        pass


def test_only_one_run_at_a_time_uses_a_ledger(tmp_path: Path) -> None:
    again = open_ledger(tmp_path / "state", None)
    with open_ledger(tmp_path / "state", None), pytest.raises(UserError, match="another run is using it"), again:
        pass


def test_the_ledger_of_a_stream_stores_no_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_ledger(tmp_path / "state", sys.stdout) as ledger:
        ledger.begin()
        ledger.add("a.wav")
    assert b"end" not in (tmp_path / "state").read_bytes()
    capsys.readouterr()


def test_a_table_that_follows_redirected_standard_output_is_refused_and_stays(tmp_path: Path) -> None:
    with (tmp_path / "out.tsv").open("w") as stream, open_ledger(tmp_path / "state", stream) as ledger:
        ledger.begin()
        stream.write("header\n")
        ledger.add("a.wav")
    assert b"end" not in (tmp_path / "state").read_bytes()
    (tmp_path / "table.tsv").write_text("a table of something else\n")
    with pytest.raises(UserError, match=r"table.tsv: not written by --watch"):  # noqa: SIM117
        with open_ledger(tmp_path / "state", tmp_path / "table.tsv"):
            pass
    assert (tmp_path / "table.tsv").read_text() == "a table of something else\n"
