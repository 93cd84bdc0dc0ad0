"""Models trained on DESED without its strongly labelled real clips.

The paper's systems (egs/desed/README.md) were trained on these clips, too, so such models' scores do not compare with
the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REAL = "strong_real"
"""DESED's training set of strongly labelled real clips"""
OTHERS = frozenset({"strong_synth", "weak", "unlabelled"})
"""DESED's other training sets"""


def lacks_real_strong(result: Mapping[str, Any]) -> bool:
    """Return whether a model was trained on other sets of DESED (OTHERS), but not on its strongly labelled real clips.

    `result` is the content of result.json. Its `model` has the entries of the model's info.json, of which `sets` lists
    the sets that training found and used. Older models lack `sets`; for them the config's sets count, although the dump
    may have lacked some.
    """
    model = result.get("model") or {}
    config = model.get("config") or {}
    names, sizes = config.get("train_sets") or [], config.get("batch_sizes") or []
    # a set of batch size 0 is not used; a single size is for every set; other lengths are not refused in a report
    used = [name for name, size in zip(names, sizes, strict=False) if size] if len(sizes) > 1 else names
    sets = set(model.get("sets") or used)
    return REAL not in sets and bool(OTHERS & sets)


def warning(names: list[str]) -> str:
    """Return the warning to print above a table with these systems, trained without real strong clips; '' if none."""
    if not names:
        return ""
    return f"Trained without real strong clips: {', '.join(names)}; their numbers do not compare with others'."
