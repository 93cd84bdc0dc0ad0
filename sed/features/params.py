"""Parameters of a front end as dumps, checkpoints and configs hold them; read and compared without torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sed.compatibility import complete
from sed.config import default_options


@cache
def defaults() -> Mapping[str, Any]:
    """Return {parameter: default}."""
    return default_options("sed.features.logmel")


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored parameters with those that their version lacked, at the value that it stood for."""
    return complete(stored, defaults())


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Compare two front ends: numbers as numbers, and a parameter that one lacks as its version behaved.

    Args:
        found: parameters of a front end, as `FrontEnd.params` gives them.
        wanted: those that it should have.

    Returns:
        The first parameter that differs, and both values: "mel_bins is 64, not 128"; None for one and the same.
    """
    there, asked = completed(found), completed(wanted)
    for key in asked | there:
        if not _equal(there.get(key), asked.get(key)):
            return f"{key} is {there.get(key)}, not {asked.get(key)}"
    return None


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or float(one) == float(other)
    except (TypeError, ValueError):
        return False
