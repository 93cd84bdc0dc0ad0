"""Checkpoints of encoders that were pre-trained here and have no published layout, from state dict to state dict.

The names are `pretrained.<encoder>.encoder.*` and, of the tagging head, `pretrained.<encoder>.head.*`: they say which
encoder a file is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch
from sed.models.encoders import EARLIER_NAMES
from sed.models.tagger import GridTagger

_PREFIX = "pretrained"
_SHOWN = 5


def export(encoder: str, tagger: GridTagger) -> dict[str, Tensor]:
    """Return the state dict of a file, on the CPU, of a tagger whose config names this encoder."""
    before = _before(encoder)
    return {before + key: value.detach().cpu().clone() for key, value in tagger.state_dict().items()}


def encoder_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the encoder that a file's state dict is of; None if it is of another layout."""
    names = {tuple(key.split(".", 2)[:2]) for key in state}
    (first, *others) = names or {("",)}
    return first[1] if not others and len(first) == 2 and first[0] == _PREFIX else None


def to_tagger(state: Mapping[str, Tensor], like: nn.Module, encoder: str) -> dict[str, Tensor]:
    """Return a file's state dict as that of `like`, a `GridTagger` on any device, or of its encoder alone.

    Args:
        state: as `export` gave it.
        like: what is loaded.
        encoder: the config's.

    Raises:
        Mismatch: names or shapes differ; the message has the first of them, or a value is not finite.
    """
    before = _before(encoder) + ("" if isinstance(like, GridTagger) else "encoder.")
    ours = {key.removeprefix(before): value for key, value in state.items() if key.startswith(before)}
    shapes = {key: value.shape for key, value in like.state_dict().items()}
    if isinstance(like, GridTagger):  # of as many classes as the file has
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
            raise Mismatch(f"{before}{key} has values that are not finite")
    return ours


def _before(encoder: str) -> str:
    return f"{_PREFIX}.{EARLIER_NAMES.get(encoder, encoder)}."


class OwnImporter:
    """Loads the encoder of a file that pre-training wrote; see `sed.checkpoints.importers.Importer`."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether pre-training here wrote it, of whatever encoder."""
        return encoder_of(state) is not None

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load the whole encoder; it has to be of the config's sizes."""
        encoder.load_state_dict(to_tagger(state, encoder, config["encoder"]))
