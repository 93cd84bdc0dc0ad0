"""Checkpoints of encoders that were pre-trained here, in a layout of ours; only an AST's are in the published one.

Tensors are named `pretrained.<encoder>.encoder.*` and, for the tagging head, `pretrained.<encoder>.head.*`, so that a
file identifies its encoder. If an encoder was renamed (`EARLIER_NAMES`), `<encoder>` is its present name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch
from sed.models.encoders import EARLIER_NAMES, ENCODERS
from sed.models.tagger import GridTagger
from sed.registry import chosen

_PREFIX = "pretrained"
_SHOWN = 5  # names in a message, at most


def export(encoder: str, tagger: GridTagger) -> dict[str, Tensor]:
    """Convert a tagger, whose config names this encoder, to the state dict of a file, on the CPU."""
    prefix = _prefix_of(encoder)
    return {prefix + key: value.detach().cpu().clone() for key, value in tagger.state_dict().items()}


def encoder_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the encoder of a file's state dict; None if it has another layout."""
    names = {tuple(key.split(".", 2)[:2]) for key in state}
    (first, *others) = names or {("",)}
    return first[1] if not others and len(first) == 2 and first[0] == _PREFIX else None


def to_tagger(state: Mapping[str, Tensor], like: nn.Module, encoder: str) -> dict[str, Tensor]:
    """Convert a file's state dict to that of a model.

    Args:
        state: a state dict as returned by `export`.
        like: the model to load, on any device: a `GridTagger` or the encoder of one.
        encoder: name of the encoder in the config.

    Returns:
        The state dict of `like`; the number of tagging classes is that of the file.

    Raises:
        Mismatch: names or shapes differ (the message has the first ones), or a value is not finite.
    """
    prefix = _prefix_of(encoder) + ("" if isinstance(like, GridTagger) else "encoder.")
    ours = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    shapes = {key: value.shape for key, value in like.state_dict().items()}
    if isinstance(like, GridTagger):  # the number of classes is that of the file
        shapes |= {key: ours[key].shape for key in shapes if key.startswith("head.") and key in ours}
    wrong = [f"{key} is missing" for key in shapes if key not in ours]
    wrong += [f"{key} is unexpected" for key in ours if key not in shapes]
    wrong += [
        f"{key} is {list(ours[key].shape)}, not {list(shape)}"
        for key, shape in shapes.items()
        if key in ours and ours[key].shape != shape
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Mismatch(f"not the encoder that the config describes: {', '.join(wrong[:_SHOWN])}{more}")
    for key, value in ours.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise Mismatch(f"{prefix}{key} has values that are not finite")
    return ours


def _prefix_of(encoder: str) -> str:
    return f"{_PREFIX}.{EARLIER_NAMES.get(encoder, encoder)}."


class OwnImporter:
    """`Importer` of the encoder of a file written by pre-training."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the file has this layout, with any encoder."""
        return encoder_of(state) is not None

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the encoder to load, all or its first blocks.
            state: the state dict of the file, which has all blocks.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another encoder.
        """
        build, whole = chosen(ENCODERS, config["encoder"], "encoder"), encoder
        if "whole" in inspect.signature(build).parameters:  # only of encoders that may have fewer blocks than the file
            with torch.device("meta"):  # for names and shapes only
                whole = build(config, whole=True)
        tensors = to_tagger(state, whole, config["encoder"])
        encoder.load_state_dict({key: tensors[key] for key in encoder.state_dict()})
