"""The config of a stored model, completed: options that its version did not have are as that version behaved."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sed.compatibility import complete
from sed.config import default_options

MODULES = ("sed.features.logmel", "sed.models.detector")
"""whose options a model is built from"""


@cache
def model_defaults() -> Mapping[str, Any]:
    """Return {option: default} of the front end and the model."""
    return default_options(*MODULES)


def complete_config(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config with all options of the model and the front end; UserError as `complete`."""
    return complete(stored, model_defaults())
