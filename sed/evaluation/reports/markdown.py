"""Escaping of external text, such as names and commands, so that Markdown shows it literally."""

from __future__ import annotations

import re


def text(value: object) -> str:
    """Escape text so that Markdown and HTML show it literally, in one line."""
    return _escaped(value, "\\<>&|*_`[]~")


def prose(value: object) -> str:
    """Escape text in which inline Markdown is allowed, but no HTML, line break or further table column."""
    return _escaped(value, "<>&|")


def code(value: object) -> str:
    """Return an inline code span that shows the text literally, in one line."""
    line = one_line(value)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def one_line(value: object) -> str:
    """Return text with its line ends, tabs and other control characters as blanks."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", str(value))


def _escaped(value: object, marks: str) -> str:
    """Return one line with the characters of `marks` as HTML entities."""
    return "".join(f"&#{ord(c)};" if c in marks else c for c in one_line(value))
