"""Checksums of files, stored beside them (`.NAME.checked`) so that an unchanged file is read only once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sed.files import write_json


def checksum(path: Path, kind: str) -> str:
    """Return a file's checksum as `kind:hex`; kind is md5, sha256 or git.

    git: SHA-1 of the content as a git blob, which is what Hugging Face states for small files.
    """
    digest = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"{kind}:{digest.hexdigest()}"


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def remember(path: Path, checksum: str, url: str) -> None:
    """Store the checksum of a file that was checked.

    Args:
        path: the file.
        checksum: its checksum, `kind:hex`.
        url: the address from which it was downloaded.
    """
    status = path.stat()
    note = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "checksum": checksum, "url": url}
    write_json(_note(path), note)


def forget(path: Path) -> None:
    """Remove the stored checksum of a file that was removed."""
    _note(path).unlink(missing_ok=True)


def is_checked(path: Path) -> str:
    """Return the stored checksum, true as a condition; "" if size or modification time differ from the stored ones."""
    try:
        note = json.loads(_note(path).read_text())
        status = path.stat()
        same = (note["size"], note["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
        return str(note["checksum"]) if same else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
