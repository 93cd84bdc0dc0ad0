"""What makes a folder a packed model (`sed.bin.pack`): its weights, and its facts read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sed.errors import UserError

FORMAT = 1
WEIGHTS, FACTS = "model.safetensors", "model.json"
KEYS = ("format", "labels", "config", "front_end", "post_processing", "info")


def is_packed(path: str | Path) -> bool:
    """Whether a path is meant as a packed model: a folder with its facts or its weights."""
    return (Path(path) / FACTS).exists() or (Path(path) / WEIGHTS).exists()


def read_facts(folder: Path) -> dict[str, Any]:
    """model.json, checked; UserError for missing parts and for another version's."""
    for name in (FACTS, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: a packed model without {name} (copy the whole folder, or pack it again)")
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{folder / FACTS}: not JSON: {error} (pack the model again)") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise UserError(f"{folder / FACTS}: packed as format {found}, this version reads {FORMAT} (pack it again)")
    missing = [key for key in KEYS if key not in facts]
    if missing:
        raise UserError(f"{folder / FACTS}: lacks {', '.join(missing)} (pack the model again)")
    return facts
