"""Read result.json files: their content, where they are found, which system and seed they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sed.errors import UserError

PLACES = (  # keys of a config that do not describe the system
    *("seed", "output", "dump", "tag", "nj", "ngpu", "jobs", "device", "resume", "force"),
    *("accelerate", "ahead", "cache", "threads", "checkpoint_seconds", "log_seconds"),
)


def read_result(path: str | Path) -> dict[str, Any]:
    """Return the content of a result.json.

    Raises:
        UserError: the file is missing, is not JSON, or lacks what every result of this project has.
    """
    path = Path(path)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such result (score first: python3 -m sed.bin.score --help)") from None
    except (ValueError, UnicodeDecodeError):
        raise UserError(f"{path}: not JSON (score again)") from None
    lacking = [key for key in ("set", "clips", "clips_expected", "per_class") if key not in result]
    if lacking:
        raise UserError(f"{path}: not a result of this project: no '{lacking[0]}' (score again)")
    return result


def experiment_name(path: Path) -> str:
    """Return the name of the experiment's folder (`exp/<name>/<set>/result.json`)."""
    return str(path.resolve().parent.parent.name)


def find_results(exp: str | Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return (path, content) of every exp/<experiment>/<set>/result.json, sorted by path."""
    return [(path, read_result(path)) for path in sorted(Path(exp).glob("*/*/result.json"))]


def settings(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the trained model without its seed, folders and machine (`PLACES`)."""
    config = (result.get("model") or {}).get("config") or {}
    return {key: value for key, value in config.items() if key not in PLACES}


def seed_of(result: Mapping[str, Any]) -> Any:
    """Return the seed that the model was trained with; None when it is unknown."""
    return ((result.get("model") or {}).get("config") or {}).get("seed")
