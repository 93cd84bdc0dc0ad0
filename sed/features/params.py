"""Parameters of a front end as dumps, checkpoints and configs hold them; read and compared without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sed.config import literals


def defaults() -> dict[str, Any]:
    """Return {parameter: default}. What was written before a parameter existed was made with its default."""
    return {name: option["default"] for name, option in literals("sed.features.logmel")["OPTIONS"].items()}


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Compare two front ends: numbers as numbers, and a parameter that one lacks as its default.

    Args:
        found: parameters of a front end, as `FrontEnd.params` gives them.
        wanted: those that it should have.

    Returns:
        The first parameter that differs, and both values: "mel_bins is 64, not 128"; None for one and the same.
    """
    known = defaults()
    for key in dict.fromkeys([*known, *wanted, *found]):
        one, other = (params.get(key, known.get(key)) for params in (found, wanted))
        if not _equal(one, other):
            return f"{key} is {one}, not {other}"
    return None


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or float(one) == float(other)
    except (TypeError, ValueError):
        return False
