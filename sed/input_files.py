"""Untrusted input files: read as text or JSON within size limits, refused with one line that says what to do."""

from __future__ import annotations

import io
import json
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sed.cli import errno_of
from sed.errors import UserError

MOST = 256 << 20
"""largest size in bytes of a file that is read as a whole"""
_DEVICES = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def check_file(path: str | Path) -> None:
    """Refuse files that may have no end or never deliver data: devices, sockets, named pipes.

    The pipes of a shell's `<(...)` are accepted. Folders and missing files are left to the caller's open.
    """
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
    except OSError:
        return
    # A named pipe's path exists; that of a shell's pipe, /dev/fd/63, resolves to `pipe:[123]`, which does not.
    is_shell_pipe = kind == stat.S_IFIFO and not Path(path).resolve().exists()
    if kind in _DEVICES and not is_shell_pipe:
        raise UserError(f"{path}: {_DEVICES[kind]}, not a file (give a file)")


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Add the file name to errors of reading, writing and HDF5 that lack it."""
    try:
        yield
    except OSError as error:
        error.errno = error.errno or errno_of(error)
        error.filename = error.filename or str(path)
        raise


def read_text(
    path: str | Path, encoding: str = "utf-8", errors: str = "strict", *, remedy: str = "UTF-8 is expected"
) -> str:
    """Return a text file's content, with every line end as `\\n`, as `open` reads it.

    Args:
        path: the file.
        encoding: encoding of its text.
        errors: how to treat bytes that are not text, as in `open`.
        remedy: what to do where it is not text, for the message.

    Returns:
        The text.

    Raises:
        UserError: it is refused by `check_file`, not text, or larger than `MOST`.
        OSError: it cannot be opened or read.
    """
    try:
        return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding, errors).read()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file ({remedy})") from None


def read_bytes(path: str | Path) -> bytes:
    """Return a file's content as bytes, such as for a checksum.

    Raises:
        UserError: it is refused by `check_file`, or larger than `MOST`.
        OSError: it cannot be opened or read.
    """
    check_file(path)
    with naming(path), Path(path).open("rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise UserError(f"{path}: more than {MOST >> 20} MB (is it the right file?)")
    return data


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; ValueError if it is malformed or has NaN, infinite numbers or integers of thousands of digits."""

    def finite(number: str) -> float:
        if not math.isfinite(value := float(number)):
            raise ValueError(f"{number[:20]} is no number")
        return value

    def whole(number: str) -> int:
        try:
            return int(number)
        except ValueError:  # Python reads no integer of more than 4,300 digits
            raise ValueError(f"{number[:20]}... has {len(number)} digits") from None

    try:
        return json.loads(text, parse_constant=finite, parse_float=finite, parse_int=whole)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json(path: str | Path, *, remedy: str) -> Any:
    """Return a JSON file's value.

    Args:
        path: the file.
        remedy: what to do where it is not text or not JSON, for the message.

    Raises:
        UserError: as `read_text`, or it is not JSON.
        OSError: as `read_text`.
    """
    try:
        return parse_json(read_text(path, remedy=remedy))
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error} ({remedy})") from None


@dataclass(frozen=True)
class Each:
    """The shape of a mapping with arbitrary keys: the shape of its values."""

    shape: Any


def misfit(value: Any, shape: Any, where: str = "") -> str:
    """Compare a value of JSON with the shape that its reader needs.

    Args:
        value: the value.
        shape: a type or a tuple of types; a list of one shape; {name: shape} of optional fields, others are allowed;
            `Each`.
        where: the value's place, for the answer.

    Returns:
        The first difference in words; '' when there is none.
    """
    kind = list if isinstance(shape, list) else dict if isinstance(shape, dict | Each) else shape
    if not _is(value, kind):
        return f"{where.lstrip('.') or 'it'} is {json.dumps(value)[:40]}"
    parts: list[tuple[str, Any, Any]] = []
    if isinstance(shape, list):
        parts = [(f"{where}[{number}]", inner, shape[0]) for number, inner in enumerate(value)]
    elif isinstance(shape, dict):
        parts = [(f"{where}.{name}", value[name], shape[name]) for name in shape if name in value]
    elif isinstance(shape, Each):
        parts = [(f"{where}.{name}", inner, shape.shape) for name, inner in value.items()]
    return next((found for place, inner, of in parts if (found := misfit(inner, of, place))), "")


def _is(value: Any, types: Any) -> bool:
    """Return whether a value is of one of these types; a boolean is no int, NaN and infinity are of no type."""
    types = types if isinstance(types, tuple) else (types,)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)
