"""Front matter of a model card: the YAML header from which the Hugging Face hub lists a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sed.checkpoints.pack_folder import CARD
from sed.evaluation.metrics.table import shown_in
from sed.evaluation.reports.markdown import one_line

LICENCES = {
    "apache-2.0": "apache-2.0",
    "bsd-3-clause": "bsd-3-clause",
    "cc0": "cc0-1.0",
    "cc0-1.0": "cc0-1.0",
    **{f"cc-by{kind}-4.0": f"cc-by{kind}-4.0" for kind in ("", "-sa", "-nc", "-nd", "-nc-sa", "-nc-nd")},
    "mit": "mit",
}
"""{common spelling of a licence, in lower case and with hyphens: the hub's identifier}"""


def front_matter(name: str, licence: str, results: Mapping[str, Any]) -> str:
    """Return the front matter, with its two lines of hyphens.

    Args:
        name: name of the model.
        licence: licence of the weights, in the author's words; '' when not stated.
        results: {set: content of its result.json}.

    Returns:
        YAML.
    """
    import yaml

    facts: dict[str, Any] = {
        **_licence(licence),
        "library_name": "ast-sed",
        "pipeline_tag": "audio-classification",
        "tags": ["sound-event-detection", "audio"],
    }
    if index := [entry for one, result in results.items() if (entry := _measured(one, result))["metrics"]]:
        facts["model-index"] = [{"name": _plain(name), "results": index}]
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---\n\n"


def has_front_matter(folder: Path) -> bool:
    """Return whether the card of a packed model begins with front matter, which earlier versions did not write."""
    try:
        return (folder / CARD).read_text(encoding="utf-8").startswith("---\n")
    except (OSError, UnicodeDecodeError):
        return False


def _licence(licence: str) -> dict[str, str]:
    if not licence.strip():
        return {}
    known = LICENCES.get(re.sub(r"[\s_-]+", "-", licence.strip().lower()))
    return {"license": known} if known else {"license": "other", "license_name": _plain(licence).lower()}


def _measured(set_name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of `model-index`: the card's scores on one set, as fractions like those of result.json."""
    values = [(entry, result.get(entry.key)) for entry in shown_in("card")]
    return {
        "task": {"type": "audio-classification", "name": "sound event detection"},
        "dataset": {"name": _plain(set_name), "type": _plain(set_name)},
        "metrics": [
            {"type": entry.key, "name": entry.title, "value": round(float(value), 6)}
            for entry, value in values
            if isinstance(value, int | float)
        ],
    }


def _plain(text: str) -> str:
    """Reduce free text to letters, digits, `_`, `.`, `-` and blanks on one line, which the hub accepts as a name.

    Hyphens at its start are removed: the hub's own names begin with none.
    """
    return " ".join(re.sub(r"[^\w. -]", " ", one_line(text)).split()).lstrip("-")
