"""Errors that end a command with one line: bad input (exit 2) and failed runs (exit 1)."""

from __future__ import annotations


class UserError(Exception):
    """Bad usage or input; the message states what is wrong, in which file and line, and what to do. Exit 2."""


class RunError(Exception):
    """A run that failed through no fault of its input (network, memory, a killed worker). Exit 1."""


def first_lines(error: Exception, count: int = 1) -> str:
    """Return the first lines of another library's message in one line; if it is empty, the name of the error's type."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return " ".join(lines[:count]) or type(error).__name__
