"""Suppression of C libraries' output on standard error: libmpg123 reports every damaged frame there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2
_lock = threading.Lock()
_inside = 0
"""number of `silent` contexts that are open, in all threads"""
_kept: int | None = None
"""descriptor of the original standard error, saved by the first of these contexts; None outside, and if it was
closed or no descriptor was free"""


@contextmanager
def silent() -> Iterator[None]:
    """Discard what is written to descriptor 2 within the context, unless all descriptors are in use.

    Several threads may be inside at once.

    Commands write their own lines to another descriptor (`sed.cli.entry`).
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _lock:
        if _inside == 0:
            _kept = _redirected()
        _inside += 1


def _redirected() -> int | None:
    """Redirect standard error to nowhere and return a descriptor of the original, which the caller closes.

    Return None, and leave everything as it is, if standard error is closed or no descriptor is free.
    """
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:
        return None
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        os.close(kept)
        return None
    os.dup2(nowhere, _STANDARD_ERROR)
    os.close(nowhere)
    return kept


def _leave() -> None:
    global _inside, _kept
    with _lock:
        _inside -= 1
        if _inside == 0 and _kept is not None:
            os.dup2(_kept, _STANDARD_ERROR)
            os.close(_kept)
            _kept = None
