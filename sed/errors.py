"""Errors that end a command with one line: bad input (exit 2) and failed runs (exit 1)."""

from __future__ import annotations


class UserError(Exception):
    """Bad usage or input; the message states what is wrong, in which file and line, and what to do. Exit 2."""


class RunError(Exception):
    """A run that failed through no fault of its input (network, memory, a killed worker). Exit 1."""
