"""The config of a stored model, completed: options that its version did not have are as that version behaved."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sed.compatibility import complete
from sed.config import check_options, default_options, load_config
from sed.errors import UserError

MODULES = ("sed.features.logmel", "sed.models.detector")
"""whose options a model is built from"""


@cache
def model_defaults() -> Mapping[str, Any]:
    """Return {option: default} of the front end and the model."""
    return default_options(*MODULES)


def complete_config(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config with all options of the model and the front end.

    Raises:
        UserError: as `complete`, or a value is none that the option can have.
    """
    config = complete(stored, model_defaults())
    check_options(config, *MODULES)
    return config


def read_model_config(path: str | Path) -> dict[str, Any]:
    """Read an experiment's config.yaml, completed; UserError names the file."""
    stored = load_config(path)
    try:
        return complete_config(stored)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
