"""Decorator that compiles loops by numba; the machine code is cached between runs if a folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable)


def compiled(function: Function) -> Function:
    """Return `function`, to be compiled on its first call or loaded from the cache.

    nogil: a long loop does not keep other threads waiting, such as those by which `sed.lifetime` ends this process.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True)(function))
