"""Folder of a packed model (a pack; `sed.checkpoints.packed` has its format): its files, and atomic replacement.

Packs are written by `sed.bin.pack`, `push` and `import_model`, here all called `pack`. A new folder is written beside
the old one, under a lock, and their names are exchanged. Files that `pack` did not write are moved to the new folder,
never deleted. A run killed at any instant leaves a complete model under the folder's name, or (on a file system that
cannot exchange two names) under a hidden name; the next `pack` to this folder gives it its name back.
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
"""FACTS: all that prediction needs besides the weights"""
LABELS = "labels.txt"
NAMES = (WEIGHTS, FACTS, RESULTS, CARD, LABELS, "config.yaml", "logmel.yaml")
"""all files that `pack` writes"""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """Return {name: SHA-256} of the files of a pack except model.json, which stores this manifest."""
    return {name: sha256(folder / name) for name in NAMES if name != FACTS and (folder / name).is_file()}


def recover(folder: Path) -> None:
    """Complete the replacement that a killed run left unfinished, if any.

    Commands that write packs call it before they read the model, which may be `folder` itself.

    Raises:
        UserError: another run is writing `folder`, it is the root of a file system, or a file that `pack` did not write
            cannot be moved to it.
    """
    folder = folder.resolve()
    if any(leftover.is_dir() for leftover in _hidden(folder)):
        with lock(folder.parent, folder.name):
            _complete(folder)


@contextmanager
def replacing_pack(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write a pack to; after the context, it replaces `folder`.

    Raises:
        UserError: another run is writing `folder`; it is the root of a file system, or not a packed model; or it has
            files that would be replaced although `pack` did not write them or they were edited since.
    """
    folder = folder.resolve()
    new, _ = _hidden(folder)
    with lock(folder.parent, folder.name):
        _complete(folder)
        _check(folder)
        new.mkdir()
        try:
            yield new
            _install(new, folder)
        except OSError as error:
            if error.filename and Path(os.fsdecode(error.filename)).parent == new:  # show the final name to the user
                error.filename = str(folder / Path(os.fsdecode(error.filename)).name)
            raise
        finally:
            if new.is_dir():  # the old folder after an exchange, or what was written before an error
                _empty(new, folder)


def _hidden(folder: Path) -> tuple[Path, Path]:
    """Return the hidden names of the new folder (while it is written) and of the old one (during the exchange).

    Raises UserError for the root of a file system: `/` has no name, and a mounted folder cannot be renamed.
    """
    if not folder.name or folder.is_mount():
        raise UserError(f"{folder}: the root of a file system, which cannot be replaced (choose a folder in it)")
    return folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")


def _facts(folder: Path) -> dict[str, Any] | None:
    """Return the content of model.json if the folder is a pack by any version of this project, else None."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(facts, dict) and {"format", "labels", "config", "front_end"} <= facts.keys():
        return facts
    return None


def _listed(folder: Path) -> dict[str, Any]:
    """Return {name: SHA-256} of the files that `pack` wrote to a folder.

    The checksum is None for model.json, which cannot hold its own, and for all `NAMES` if there is no list: in a pack
    by an earlier version, and in an incomplete folder.
    """
    files = (_facts(folder) or {}).get("files")
    listed = files if isinstance(files, dict) else dict.fromkeys(NAMES)
    return {name: listed[name] for name in NAMES if name in listed} | {FACTS: None}


def _is_own(path: Path, listed: dict[str, Any]) -> bool:
    """Return whether `pack` wrote this file: one of `listed`, or, by its name, a temporary file of `sed.files`."""
    return (path.name in listed and path.is_file() and not path.is_symlink()) or is_temporary(path.name)


def _check(folder: Path) -> None:
    """Raise UserError if a folder is not a pack, or if files that a user wrote or edited would be replaced."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if _facts(folder) is None:
        raise UserError(f"{folder}: exists and is not a packed model (choose another folder)")
    listed = _listed(folder)
    for path in sorted(folder.iterdir()):
        own = _is_own(path, listed)
        if path.name in NAMES and not own:
            raise UserError(f"{path}: not written by pack, which would replace it (move it away, then pack again)")
        # Damaged weights are replaced; a text file that differs was edited by the user.
        wanted = listed.get(path.name)
        if own and wanted and path.name != WEIGHTS and sha256(path) != wanted:
            raise UserError(f"{path}: changed since it was packed (move it away, then pack again)")


def _install(new: Path, folder: Path) -> None:
    """Replace `folder` by `new`; after an exchange, `new` is the name of the old folder, which the caller empties."""
    if folder.exists():
        shutil.copymode(folder, new)  # the permissions that the user gave the old folder
    sync_folder(new)
    if not folder.exists():
        new.rename(folder)
    elif not exchange(new, folder):
        _, old = _hidden(folder)
        folder.rename(old)
        new.rename(folder)
        _empty(old, folder)
    sync_folder(folder.parent)


def _complete(folder: Path) -> None:
    """Finish what a killed run left: restore `folder` if it was renamed, and remove the hidden folders."""
    new, old = _hidden(folder)
    # killed between the two renames of `_install`, `new` is complete; without `new`, the second was made, but somebody
    # has removed `folder` since
    if old.is_dir() and not folder.exists():
        (new if new.is_dir() else old).rename(folder)
    for leftover in (new, old):
        if leftover.is_dir():
            _empty(leftover, folder)


def _empty(leftover: Path, folder: Path) -> None:
    """Remove a hidden folder, after moving files not written by `pack` to `folder`.

    Raises:
        UserError: such a file cannot be moved, since `folder` is missing or has one of the same name; it stays hidden.
    """
    listed = _listed(leftover)
    for path in sorted(leftover.iterdir()):
        if not _is_own(path, listed):
            if not folder.is_dir() or os.path.lexists(folder / path.name):
                raise UserError(f"{path}: not written by pack (move it away, then pack again)")
            path.rename(folder / path.name)
    if folder.is_dir():
        sync_folder(folder)
    # model.json last: if this run is killed, the next one needs its list
    for path in sorted(leftover.iterdir(), key=lambda path: path.name == FACTS):
        if _is_own(path, listed):
            path.unlink()
    leftover.rmdir()
