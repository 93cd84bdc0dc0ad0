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


def fitting(
    found: Mapping[str, Tensor], ours: Mapping[str, Tensor], *, model: str, ignored: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Return the tensors of a file that a model of the same names has, all of them checked.

    Args:
        found: the file's.
        ours: those that are expected, on any device.
        model: the model's name, for the message.
        ignored: how names of the file begin that the model does without.

    Raises:
        Mismatch: names or shapes differ, or values are not finite; the message names them.
    """
    wrong = differences(
        missing=[key for key in ours if key not in found],
        unexpected=[key for key in found if key not in ours and not key.startswith(ignored)],
        misshapen=[
            f"{key} {list(found[key].shape)} for {list(value.shape)}"
            for key, value in ours.items()
            if key in found and found[key].shape != value.shape
        ],
    )
    if wrong:
        raise Mismatch(f"not the {model} that the config describes; {wrong}")
    for key in ours:
        if not found[key].isfinite().all():
            raise Mismatch(f"{key} has values that are not finite")
    return {key: found[key] for key in ours}


IMPORTERS = {
    "ast": "sed.checkpoints.ast_layouts:AstImporter",
    "atst_frame": "sed.checkpoints.atst_layout:AtstImporter",
    "beats": "sed.checkpoints.beats_layout:BeatsImporter",
    "dasheng": "sed.checkpoints.dasheng_layout:DashengImporter",
    "eat": "sed.checkpoints.eat_layout:EatImporter",
    "panns": "sed.checkpoints.panns_layout:PannsImporter",
}
"""importers by the name of their encoder: one that is here is expected to start from a published checkpoint"""

LICENCES = {
    "atst_frame": "MIT (PretrainedSED's files) or CC BY 4.0 (its authors' checkpoint)",
    "beats": "MIT",
    "dasheng": "Apache-2.0",
    "eat": "MIT",
}
"""{encoder: licences of its published weights}, for the card of a model that started from them"""


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
