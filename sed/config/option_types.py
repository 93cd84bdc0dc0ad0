"""Types of options: functions that check and convert the text of an option; errors say what is expected."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sed.files import refuse_device
from sed.provenance import ROOT

LARGEST = 2**63 - 1
"""largest whole number, of either sign: the integers of PyTorch and NumPy have 64 bits"""


def bounded(convert: Callable[[str], Any], least: float | None, most: float | None) -> Callable[[str], Any]:
    """Return an option's type with checks of its text.

    Args:
        convert: float is checked as a finite number, int as one of up to `LARGEST`, Path by `given_path`; other
            functions are returned as is.
        least: lower bound of a number, inclusive; None: no bound.
        most: upper bound of a number, inclusive; None: no bound.

    Returns:
        A function from text to value, which raises ArgumentTypeError for an invalid text.
    """
    if convert is Path:
        return given_path
    if convert not in (int, float):
        return convert

    def number(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            kind = "a whole number" if convert is int else "a number"
            raise argparse.ArgumentTypeError(f"'{text}' is not {kind}") from None
        if convert is int and abs(value) > LARGEST:  # first, since isfinite fails on more than 309 digits
            raise argparse.ArgumentTypeError(f"{text} is out of range (between -2^63 and 2^63)")
        if not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most):
            bounds = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
            raise argparse.ArgumentTypeError(f"{text} is out of range ({' and '.join(bounds) or 'a finite number'})")
        return value

    return number


def words(text: str) -> list[str]:
    """Convert an option's text to a list of comma-separated words, none of them empty."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a comma-separated list")
    return parts


def shell_words(text: str) -> list[str]:
    """Convert an option's text to a list of words separated by blanks, in which a shell's quotation marks work."""
    try:
        return shlex.split(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"an unmatched quotation mark or backslash in: {text}") from None


def numbers(text: str) -> list[int]:
    """Convert an option's text to a list of comma-separated whole numbers, none of them negative."""
    parts = words(text)
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a comma-separated list of whole numbers")
    return [bounded(int, 0, None)(part) for part in parts]


def config_file(text: str) -> str:
    """Convert an option's text to an absolute path: that in the current folder if it exists, else in the repository."""
    path = Path(text)
    return str((path if path.exists() else ROOT / path).resolve())


def data_file(text: str) -> str:
    """Convert an option's text to an absolute path like `config_file`, an empty text to ''."""
    return config_file(text) if text else ""


def given_path(text: str) -> Path:
    """Convert an option's text to a path; an empty text is refused, since it would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("'': a path is expected")
    return Path(text)


def output_file(text: str) -> Path:
    """Convert an option's text to the path of a file to write; a folder or device is refused before any work."""
    if not text:
        raise argparse.ArgumentTypeError("'': a file to write is expected")
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: a folder (a file to write is expected)")
    refuse_device(path)
    return path


# Types by name, for options that are declared as literals.
TYPES: dict[str, Callable[[str], Any]] = {
    "words": words,
    "numbers": numbers,
    "config_file": config_file,
    "data_file": data_file,
}
