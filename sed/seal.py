"""Checksums at the end of files, so that damage is detected when they are read.

Binary files end in `SEAL`, a line after their own format's content (HDF5 and zip readers ignore it), JSON files in a
last key. Binary files may be large: their CRC-32 takes less than half the time of the JSON files' SHA-256 (measured).
The checksum detects damage, not malice: the content is validated all the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sed.input_files import parse_json, read_bytes

SEAL = b"sed-crc32:%08x\n"
"""last line of a binary file, for the CRC-32 of all bytes before it"""
_SEAL = re.compile(rb"sed-crc32:([0-9a-f]{8})\n")
SIZE = len(SEAL % 0)
"""length of the line in bytes"""
_JSON_SEAL = re.compile(rb'(.*),\n "checksum": "([0-9a-f]{64})"\n\}\n', re.DOTALL)


class Damaged(ValueError):
    """A file differs from what was written; the message states how."""


class SealedWriter:
    """Writer of a binary file from front to back; `seal` completes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._crc = 0

    def write(self, data: Any) -> int:
        """Write bytes or a buffer of them."""
        self._crc = zlib.crc32(data, self._crc)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def seal(self) -> None:
        """Write the checksum of all bytes so far; nothing may follow."""
        self._file.write(SEAL % self._crc)


def seal_file(path: Path) -> None:
    """Append a checksum to a complete file."""
    with path.open("rb+") as file:
        crc = crc_of(file, path.stat().st_size)
        file.write(SEAL % crc)


def found_seal(path: Path) -> int | None:
    """Return the checksum in a file's last line; None if there is no such line."""
    size = path.stat().st_size - SIZE
    if size < 0:
        return None
    with path.open("rb") as file:
        file.seek(size)
        found = _SEAL.fullmatch(file.read())
    return int(found[1], 16) if found else None


def is_sealed(path: Path) -> bool:
    """Compare a file with its checksum; return False if it has none, raise `Damaged` if they differ."""
    stated = found_seal(path)
    if stated is None:
        return False
    with path.open("rb") as file:
        if crc_of(file, path.stat().st_size - SIZE) != stated:
            raise Damaged("its checksum does not match")
    return True


def crc_of(file: IO[bytes], size: int, crc: int = 0) -> int:
    """Return the CRC-32 of the next bytes of a file.

    Args:
        file: open for reading.
        size: number of bytes.
        crc: CRC-32 of the bytes before these, if it is to cover them, too.

    Returns:
        The CRC-32.

    Raises:
        Damaged: the file ends before `size` bytes.
    """
    buffer = memoryview(bytearray(min(size, 1 << 20)))
    while size:
        count = file.readinto(buffer[: min(size, len(buffer))])  # type: ignore[attr-defined]  # all binary files have it
        if not count:
            raise Damaged("it was cut while it was read")
        crc = zlib.crc32(buffer[:count], crc)
        size -= count
    return crc


def sealed_json(value: Mapping[str, Any]) -> str:
    """Return indented JSON whose last key is the checksum of the text before it.

    `value` must not be empty, nor have the key "checksum".
    """
    body = _text(value)[: -len(b"\n}")]
    return f'{body.decode()},\n "checksum": "{hashlib.sha256(body).hexdigest()}"\n}}\n'


def _text(value: Any) -> bytes:
    """Return JSON as `sed.files.write_json` writes it, without the last line end: surrogates are escapes."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def read_sealed_json(path: Path) -> tuple[Any, bool | None]:
    """Return the value of a JSON file, without the key "checksum", and whether its checksum matches.

    The latter is None if another tool wrote or reformatted the file: then a checksum, if any, cannot be compared. It is
    False if the file is formatted as `write_json` does but does not end in a checksum.

    Raises:
        Damaged: the content differs from what was written.
        ValueError: it is not JSON.
    """
    data = read_bytes(path)
    found = _JSON_SEAL.fullmatch(data)
    if found and hashlib.sha256(found[1]).hexdigest() != found[2].decode():
        raise Damaged("changed or damaged since it was written")
    value = parse_json(data)
    as_written = _text(value) + b"\n"
    if isinstance(value, dict):
        value.pop("checksum", None)
    return value, True if found else False if as_written == data else None
