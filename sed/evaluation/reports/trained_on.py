"""Training data that makes a model's scores incomparable with published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REAL = "strong_real"
OTHERS = frozenset({"strong_synth", "weak", "unlabelled"})
"""DESED's other training sets"""


def lacks_real_strong(result: Mapping[str, Any]) -> bool:
    """Return whether a model was trained on DESED's sets, but on no strongly labelled real clips.

    For older models, whose info.json has no `sets`, the config's are used, although the dump may have lacked some.
    """
    model = result.get("model") or {}
    config = model.get("config") or {}
    names, sizes = config.get("train_sets") or [], config.get("batch_sizes") or []
    used = [name for name, size in zip(names, sizes, strict=False) if size] if len(sizes) > 1 else names
    sets = set(model.get("sets") or used)
    return REAL not in sets and bool(OTHERS & sets)


def warning(names: list[str]) -> str:
    """Return the warning above scores of systems that were trained without real strong clips; '' without names."""
    if not names:
        return ""
    return f"Trained without real strong clips: {', '.join(names)}; their numbers are not others'."
