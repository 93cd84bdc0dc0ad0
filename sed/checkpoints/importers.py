"""The registry of importers: published checkpoints into encoders.

An importer for another encoder is a module with a class that keeps to `Importer`, and a line of `IMPORTERS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from sed.config.recipe_options import NONE
from sed.registry import chosen


class Mismatch(ValueError):
    """The checkpoint is not the one that was asked for; the message names the keys."""


class Importer(Protocol):
    """Loads published state dicts into one kind of encoder; made without arguments."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether a state dict is of this kind of encoder, of whatever size."""
        ...

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict into the encoder of a flat config; Mismatch naming the keys that do not fit."""
        ...


_SHOWN = 10


def differences(*, missing: Sequence[str], unexpected: Sequence[str], misshapen: Sequence[str]) -> str:
    """Return how a state dict differs from the one that is expected, a few keys of each kind; '' where it does not."""
    return "; ".join(
        f"{what}: {', '.join(keys[:_SHOWN])}" + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if keys
    )


IMPORTERS = {
    "ast": "sed.checkpoints.ast_layouts:AstImporter",
    "panns": "sed.checkpoints.panns_layout:PannsImporter",
}
"""importers by the name of their encoder: one that is here is expected to start from a published checkpoint"""


def importer_of(encoder: str) -> Importer | None:
    """Return the importer for an encoder; None if there is none."""
    if encoder not in IMPORTERS:
        return None
    importer: Importer = chosen(IMPORTERS, encoder, "importer")()
    return importer


def starts_at_random(config: Mapping[str, Any]) -> bool:
    """Return whether a config's encoder has published weights, and starts without any all the same."""
    return config["encoder"] in IMPORTERS and config["pretrained"] in ("", NONE)


def kind_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the encoder that a state dict is of; None if no importer recognises it."""
    kinds = ((name, importer_of(name)) for name in IMPORTERS)
    return next((name for name, importer in kinds if importer and importer.recognises(state)), None)
