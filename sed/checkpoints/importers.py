"""Registry of importers, which load published checkpoints into encoders.

A new importer is a module with a class that implements `Importer`, and a line of `IMPORTERS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from sed.config.recipe_options import NONE
from sed.registry import chosen


class Mismatch(ValueError):
    """Error of a checkpoint that does not fit the model; the message names the keys."""


class Importer(Protocol):
    """Protocol of importers of published state dicts for one kind of encoder, constructed without arguments."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether a state dict is one of this kind of encoder, of any size."""
        ...

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict into an encoder.

        Args:
            encoder: the encoder, which may have only the first blocks of the published one.
            state: the published state dict, with or without prefixes of wrappers.
            config: the flat config of the encoder.

        Raises:
            Mismatch: the state dict does not fit; the message names the keys.
        """
        ...


_SHOWN = 10  # names in a message, at most


def differences(*, missing: Sequence[str], unexpected: Sequence[str], misshapen: Sequence[str]) -> str:
    """Describe how a state dict differs from the expected one.

    Args:
        missing: names that the state dict lacks.
        unexpected: names that should not be there.
        misshapen: descriptions of tensors of another shape.

    Returns:
        A text with the first names of each kind; '' if there are none.
    """
    return "; ".join(
        f"{what}: {', '.join(keys[:_SHOWN])}" + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if keys
    )


def fitting(
    found: Mapping[str, Tensor], ours: Mapping[str, Tensor], *, model: str, ignored: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Select and check the tensors of a model in a file with the same names.

    Args:
        found: tensors of the file.
        ours: tensors of the model, on any device.
        model: name of the model, for the message.
        ignored: prefixes of names in the file that the model does not use.

    Returns:
        The tensors of the file with the names of `ours`.

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
"""{encoder: its importer}; a training of these encoders is expected to start from a published checkpoint"""

LICENCES = {
    "ast": "BSD-3-Clause",
    "atst_frame": "MIT (PretrainedSED's files) or CC BY 4.0 (its authors' checkpoint)",
    "beats": "MIT",
    "dasheng": "Apache-2.0",
    "eat": "MIT",
    "panns": "CC BY 4.0 (the files, Zenodo record 3987831; the authors' code is MIT)",
}
"""{encoder: licences of its published weights}, for the card of a model initialised with them"""


def importer_of(encoder: str) -> Importer | None:
    """Return the importer of an encoder; None if there is none."""
    if encoder not in IMPORTERS:
        return None
    importer: Importer = chosen(IMPORTERS, encoder, "importer")()
    return importer


def starts_at_random(config: Mapping[str, Any]) -> bool:
    """Return whether a config's encoder has published weights, but random ones are used."""
    return config["encoder"] in IMPORTERS and config["pretrained"] in ("", NONE)


def kind_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the encoder of a published state dict; None if no importer recognises it."""
    kinds = ((name, importer_of(name)) for name in IMPORTERS)
    return next((name for name, importer in kinds if importer and importer.recognises(state)), None)
