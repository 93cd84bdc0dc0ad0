"""Origin of a result's initial weights: a checkpoint, random weights, or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sed.config.literals import literals
from sed.config.recipe_options import NONE

RANDOM, UNKNOWN = "random", "unknown"


def weights_of(result: Mapping[str, Any]) -> str:
    """Return the name of the checkpoint that training started from, `random` or `unknown`; for an ensemble, its size.

    `result` is the content of result.json. Its `model` has the entries of the model's info.json, of which `weights` is
    `random` or a description of the checkpoint. Older models lack `weights` and have only the option `pretrained`,
    which some encoders ignored.
    """
    model = result.get("model") or {}
    config = model.get("config") or {}
    start = config.get("pretrained")
    if members := ensemble_of(result):
        return f"ensemble of {len(members)} models"
    if model.get("weights") == RANDOM or start in ("", NONE):
        return RANDOM
    if not start or ("weights" not in model and not _has_importer(config)):
        return UNKNOWN
    return Path(start).name


def ensemble_of(result: Mapping[str, Any]) -> list[str]:
    """Return the models whose mean posteriors were scored; an empty list for a single model.

    The averaged scores name the models in their attributes, which result.json repeats. A result.json of an earlier
    version may also have a `model`, in whose folder the averaged scores were; then the list is empty.
    """
    members = ((result.get("input") or {}).get("attrs") or {}).get("ensemble")
    return [str(member) for member in members] if isinstance(members, list) and not result.get("model") else []


def lacks_weights(result: Mapping[str, Any]) -> bool:
    """Return whether the encoder was trained from random weights although published weights exist for it."""
    return weights_of(result) == RANDOM and _has_importer((result.get("model") or {}).get("config") or {})


def _has_importer(config: Mapping[str, Any]) -> bool:
    """Return whether there is an importer for the config's encoder.

    The registry is read from its source, since importing it imports torch, which reports do without.
    """
    return config.get("encoder", "ast") in literals("sed.checkpoints.importers")["IMPORTERS"]


def warning(names: list[str]) -> str:
    """Return the warning above scores of systems without pretrained weights; empty without names."""
    if not names:
        return ""
    return f"Not pretrained, from random weights: {', '.join(names)}; these numbers say nothing of pretrained models."
