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
"""descriptor of the original standard error, saved by the first of these contexts; None outside, or if it was closed"""


@contextmanager
def silent() -> Iterator[None]:
    """Discard what is written to descriptor 2 within the context; several threads may be inside at once.

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
            try:
                _kept = os.dup(_STANDARD_ERROR)
            except OSError:  # closed: nothing to suppress
                _kept = None
            else:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, _STANDARD_ERROR)
                os.close(nowhere)
        _inside += 1


def _leave() -> None:
    global _inside, _kept
    with _lock:
        _inside -= 1
        if _inside == 0 and _kept is not None:
            os.dup2(_kept, _STANDARD_ERROR)
            os.close(_kept)
            _kept = None
