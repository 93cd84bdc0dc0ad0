"""Registries: components by name, each a `module:attribute` that is imported when it is chosen.

A registry is a literal, so that the options of its components can be read without importing them
(`sed.config.literals`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def chosen(registry: Mapping[str, str], name: str, what: str) -> Any:
    """Import the component that a registry has under a name.

    Args:
        registry: {name: "module:attribute"}.
        name: the chosen name.
        what: kind of component, for the message.

    Returns:
        The attribute: a function that builds the component, or its class.

    Raises:
        ValueError: the registry has no such name.
    """
    if name not in registry:
        raise ValueError(f"{what} '{name}' is not known ({', '.join(registry)})")
    module, _, attribute = registry[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
