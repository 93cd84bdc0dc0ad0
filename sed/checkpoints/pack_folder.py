"""The folder of a packed model: which of its files are ours, and how a new one takes its place.

A new folder is written beside the old one, under a lock, and the two exchange their names. What `pack` did not write
is moved over into the new folder, never deleted. A run that is killed at any instant leaves a whole model under the
folder's name, or (where a file system cannot exchange two names) under a hidden one that the next run puts back.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.files import exchange, is_temporary, lock, sync_folder

WEIGHTS, FACTS, RESULTS, CARD = "model.safetensors", "model.json", "results.json", "README.md"
LABELS = "labels.txt"
NAMES = (WEIGHTS, FACTS, RESULTS, CARD, LABELS, "config.yaml", "logmel.yaml")
"""all that `pack` writes"""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """Return {name: SHA-256} of our files in a folder that is being written; model.json lists them and is not there."""
    return {name: sha256(folder / name) for name in NAMES if name != FACTS and (folder / name).is_file()}


def recover(folder: Path) -> None:
    """Complete what a killed run left of this folder, so that it can be read; nothing is done when there is nothing."""
    folder = folder.resolve()
    if any(left.is_dir() for left in _hidden(folder)):
        with lock(folder.parent, folder.name):
            _complete(folder)


@contextmanager
def replacing_pack(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write a pack into, which then takes the place of `folder`.

    Raises:
        UserError: another run holds it, or it has files that would be lost.
    """
    folder = folder.resolve()
    part, _ = _hidden(folder)
    with lock(folder.parent, folder.name):
        _complete(folder)
        _check(folder)
        part.mkdir()
        try:
            yield part
            _install(part, folder)
        except OSError as error:
            if error.filename and Path(os.fsdecode(error.filename)).parent == part:  # the user knows it by its name
                error.filename = str(folder / Path(os.fsdecode(error.filename)).name)
            raise
        finally:
            if part.is_dir():
                _empty(part, folder)


def _hidden(folder: Path) -> tuple[Path, Path]:
    """The new folder while it is written, and the earlier one while it has no name of its own."""
    return folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")


def _facts(folder: Path) -> dict[str, Any] | None:
    """Return model.json of what is a pack of ours, of any version; else None."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(facts, dict) and {"format", "labels", "config", "front_end"} <= facts.keys():
        return facts
    return None


def _listed(folder: Path) -> dict[str, Any]:
    """Return {name: SHA-256} of the files that `pack` wrote here; earlier versions said neither, so all `NAMES`."""
    files = (_facts(folder) or {}).get("files")
    listed = files if isinstance(files, dict) else dict.fromkeys(NAMES)
    return {name: listed[name] for name in NAMES if name in listed} | {FACTS: None}


def _is_own(path: Path, listed: dict[str, Any]) -> bool:
    return (path.name in listed and path.is_file() and not path.is_symlink()) or is_temporary(path.name)


def _check(folder: Path) -> None:
    """Refuse a folder that is no pack, and one with files that the new one would replace though they are not ours."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if _facts(folder) is None:
        raise UserError(f"{folder}: exists and is no packed model (choose another folder)")
    listed = _listed(folder)
    for path in sorted(folder.iterdir()):
        own = _is_own(path, listed)
        if path.name in NAMES and not own:
            raise UserError(f"{path}: not written by pack, which would replace it (move it away, then pack again)")
        # What is damaged of a model is made again; a text that differs was changed by someone.
        wanted = listed.get(path.name)
        if own and wanted and path.name != WEIGHTS and sha256(path) != wanted:
            raise UserError(f"{path}: changed since it was packed (move it away, then pack again)")


def _install(part: Path, folder: Path) -> None:
    if folder.exists():
        shutil.copymode(folder, part)
    sync_folder(part)
    if not folder.exists():
        part.rename(folder)
    elif not exchange(part, folder):
        _, old = _hidden(folder)
        folder.rename(old)
        part.rename(folder)
        _empty(old, folder)
    sync_folder(folder.parent)


def _complete(folder: Path) -> None:
    part, old = _hidden(folder)
    if old.is_dir() and not folder.exists():  # killed between two renames: the new one is whole
        (part if part.is_dir() else old).rename(folder)
    for left in (part, old):
        if left.is_dir():
            _empty(left, folder)


def _empty(left: Path, folder: Path) -> None:
    """Remove a hidden folder: what is not ours is moved to `folder`, and stays where that cannot be."""
    listed = _listed(left)
    for path in sorted(left.iterdir()):
        if not _is_own(path, listed):
            if not folder.is_dir() or os.path.lexists(folder / path.name):
                raise UserError(f"{path}: not written by pack (move it away, then pack again)")
            path.rename(folder / path.name)
    if folder.is_dir():
        sync_folder(folder)
    for path in sorted(left.iterdir(), key=lambda path: path.name == FACTS):  # last: it says which files are ours
        if _is_own(path, listed):
            path.unlink()
    left.rmdir()
