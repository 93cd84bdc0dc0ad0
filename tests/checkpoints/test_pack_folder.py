"""Replacement of packs: files that are replaced or kept, kills, and runs at the same time."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from kills import at_once, forked, kill_at_every_call
from sounds import limited_files
from tiny_model import call, pack_tiny

from sed.bin import pack
from sed.checkpoints import pack_folder
from sed.errors import UserError
from sed.files import open_replacing


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_tiny(tmp_path_factory.mktemp("packed"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".") and path.suffix != ".lock"]


def test_a_folder_of_another_tool_is_left_alone(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "hf"
    (folder / "data").mkdir(parents=True)
    for name in ("model.safetensors", "my_notes.txt", "data/y"):
        (folder / name).write_text(name)
    for facts in (None, "{}", "[]", "no json", '{"format": 1}'):
        if facts is not None:
            (folder / "model.json").write_text(facts)
        before = contents(folder)
        assert call(pack, packed / "exp", folder) == 2
        assert "exists and is not a packed model" in capsys.readouterr().err
        assert contents(folder) == before and not hidden(tmp_path)


def test_the_root_of_a_file_system_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as `docker run -v "$PWD/model":/model` makes of `/model`."""
    monkeypatch.setattr(Path, "is_mount", lambda path: path in (Path("/"), tmp_path))
    for folder in ("/", tmp_path):
        assert call(pack, "no-model", folder) == 2
        said = f"{folder}: the root of a file system, which cannot be replaced (choose a folder in it)"
        assert said in capsys.readouterr().err


def test_files_of_others_stay(packed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    (folder / "data").mkdir()
    notes = {"my_notes.txt": b"precious", "data/y": b"y", ".hidden": b"h"}
    for name, text in notes.items():
        (folder / name).write_bytes(text)
    for source in (packed / "exp", folder):
        assert call(pack, "--name", "again", source, folder) == 0
        assert {name: contents(folder)[name] for name in notes} == notes
        assert contents(folder).keys() - notes == set(pack_folder.NAMES)
        assert "\n# again: " in (folder / "README.md").read_text() and not hidden(tmp_path)


def test_a_pack_of_an_earlier_version_is_replaced(packed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    del facts["files"]
    (folder / "model.json").write_text(json.dumps(facts | {"format": 1}))
    (folder / "notes.txt").touch()
    assert call(pack, packed / "exp", folder) == 0
    assert "files" in json.loads((folder / "model.json").read_text()) and (folder / "notes.txt").exists()


def test_a_file_that_would_be_lost_is_named(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    (folder / "README.md").write_text("my own words")
    assert call(pack, packed / "exp", folder) == 2
    assert "README.md: changed since it was packed" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == "my own words"
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    assert call(pack, packed / "exp", folder) == 2
    assert "README.md: not written by pack" in capsys.readouterr().err


def test_a_link_in_a_pack_was_not_written_by_pack(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    (folder / "README.md").rename(tmp_path / "mine.md")
    (folder / "README.md").symlink_to(tmp_path / "mine.md")
    assert call(pack, packed / "exp", folder) == 2
    assert "README.md: not written by pack" in capsys.readouterr().err and (folder / "README.md").is_symlink()


def test_damaged_weights_and_temporary_files_are_replaced_and_permissions_stay(packed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"damaged")
    (folder / ".model.json.4711-0123abcd-0.part").touch()  # as `sed.files` names them
    folder.chmod(0o700)
    assert call(pack, packed / "exp", folder) == 0
    assert contents(folder).keys() == set(pack_folder.NAMES) and not hidden(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert contents(folder)["model.safetensors"] == contents(packed / "model")["model.safetensors"]


def test_an_empty_folder_and_one_behind_a_link_are_packed_to(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "drive" / "model").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "drive" / "model")
    for _ in range(2):
        assert call(pack, packed / "exp", tmp_path / "link") == 0
        assert (tmp_path / "link").is_symlink()
        assert contents(tmp_path / "drive" / "model").keys() == set(pack_folder.NAMES)
        assert not hidden(tmp_path) and not hidden(tmp_path / "drive")


def test_a_pack_behind_a_link_gets_its_name_back_after_a_kill(packed: Path, tmp_path: Path) -> None:
    """Killed between two renames, on a file system that cannot exchange names."""
    (tmp_path / "link").symlink_to(tmp_path / "drive" / "model")
    shutil.copytree(packed / "model", tmp_path / "drive" / ".model.old")
    pack_folder.recover(tmp_path / "link")
    assert contents(tmp_path / "link") == contents(packed / "model") and not hidden(tmp_path / "drive")


def test_a_file_of_others_in_a_hidden_folder_is_neither_removed_nor_put_over_another(
    packed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    for name in (".model.part", "model"):
        shutil.copytree(packed / "model", tmp_path / name)
        (tmp_path / name / "notes").write_text(name)
        with pytest.raises(UserError, match=r"\.model\.part/notes: not written by pack \(move it away"):
            pack_folder.recover(folder)  # at first without a folder to move the file to, then with one that has it
        assert (tmp_path / ".model.part" / "notes").read_text() == ".model.part"
    assert (folder / "notes").read_text() == "model"
    (folder / "notes").unlink()
    pack_folder.recover(folder)
    assert (folder / "notes").read_text() == ".model.part" and not hidden(tmp_path)


@pytest.mark.parametrize("exchanges", [True, False])
def test_folders_are_flushed_before_and_after_they_get_their_names(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    """A power cut then leaves the old pack or the new one, and files of others in one of them."""
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    (folder / "notes").touch()
    steps = []
    monkeypatch.setattr(pack_folder, "sync_folder", lambda path: steps.append(path.name))
    exchange = pack_folder.exchange

    def swap(one: Path, other: Path) -> bool:
        steps.append("exchange")
        return exchanges and exchange(one, other)

    monkeypatch.setattr(pack_folder, "exchange", swap)
    with pack_folder.replacing_pack(folder) as new:
        shutil.copytree(packed / "model", new, dirs_exist_ok=True)
    # flushed: the new one; the folder around both; the new one again, with what was moved to it
    assert steps[:2] == [".model.part", "exchange"] and {tmp_path.name, "model"} <= set(steps[2:])
    assert (folder / "notes").exists() and not hidden(tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "exchanges, most",
    [(True, 12), pytest.param(True, None, marks=pytest.mark.slow), (False, None)],
    ids=["exchange, some calls", "exchange", "two renames"],
)
def test_killed_at_any_call_the_same_command_gives_the_same_files(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool, most: int | None
) -> None:
    """Pack a folder onto itself: the only copy of the weights is in the folder that is replaced."""
    if not exchanges:
        monkeypatch.setattr(pack_folder, "exchange", lambda *_: False)
    place, folder = tmp_path / "place", tmp_path / "place" / "model"

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(packed / "model", folder)
        (folder / "notes").mkdir()
        (folder / "notes" / "a.txt").write_text("precious")

    def work() -> int:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        return call(pack, "--name", "again", folder, folder)

    prepare()
    assert forked(work) == 0
    undisturbed = contents(place)
    assert "model/notes/a.txt" in undisturbed

    def check(call_number: int) -> None:
        found = contents(place)
        assert found == undisturbed, (call_number, sorted(found), sorted(undisturbed))

    kills = kill_at_every_call(work, prepare, check, place, most=most)
    assert kills > (8 if most else 30)  # 12 and 77 when this was written; far fewer would mean uncounted calls


@pytest.mark.thorough
def test_two_at_once_give_one_whole_model(packed: Path, tmp_path: Path) -> None:
    from sed.prediction.model import open_model

    folder = tmp_path / "model"
    for number in range(10):
        errors = [tmp_path / f"error.{number}.{one}" for one in range(2)]

        def work(error: Path) -> int:
            os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT), 2)
            sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
            return call(pack, packed / "exp", folder)

        codes = at_once([lambda error=error: work(error) for error in errors])
        assert 0 in codes and set(codes) <= {0, 2}, codes
        for code, error in zip(codes, errors, strict=True):
            assert code == 0 or "another run is using it" in error.read_text()
            assert "Traceback" not in error.read_text()
        assert set(contents(folder)) == set(pack_folder.NAMES)
        open_model(folder)
        assert not hidden(tmp_path)


def test_a_full_disk_is_named_by_the_folder_that_the_user_gave(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    weights = (packed / "model" / "model.safetensors").read_bytes()
    with (
        limited_files(100),
        pytest.raises(OSError) as failure,
        pack_folder.replacing_pack(folder) as part,
        open_replacing(part / "model.safetensors", "wb") as file,
    ):
        file.write(weights)
    assert failure.value.filename == str(folder / "model.safetensors")
    assert not folder.exists() and hidden(tmp_path) == []
