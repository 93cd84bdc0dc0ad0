"""Completion of stored configs: options that an earlier version lacked get the values of its behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sed.compatibility import complete
from sed.config import check_options, default_options, load_config
from sed.errors import UserError

MODULES = ("sed.features.logmel", "sed.models.detector")
"""modules whose options define a model"""


@cache
def model_defaults() -> Mapping[str, Any]:
    """Return {option: default} of the front end and the model."""
    return default_options(*MODULES)


def complete_config(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config with all options of the model and the front end.

    Raises:
        UserError: a removed option has a value that is no longer supported (see `complete`), or an option of `MODULES`
            has an invalid value. Unknown options are kept.
    """
    config = complete(stored, model_defaults())
    check_options(config, *MODULES)
    return config


def read_model_config(path: str | Path) -> dict[str, Any]:
    """Read and complete an experiment's config.yaml; errors name the file."""
    stored = load_config(path)
    try:
        return complete_config(stored)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
