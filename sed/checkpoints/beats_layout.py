"""Checkpoints of BEATs, into the encoder: its authors' files, pre-trained or tuned, and PretrainedSED's.

The authors' file is `{cfg, model}`; PretrainedSED's (`BEATs_ssl.pt`, `_weak`, `_strong_1`) hold the encoder under
`model.beats.` beside two heads. The positional convolution is weight-normalised, whose two tensors PyTorch has named in
two ways. The table of distances is one for all blocks, and the files have it in each of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, fitting
from sed.checkpoints.wrappers import plain_name
from sed.models.beats import build_beats

_RENAMED = {
    "encoder.pos_conv.0.parametrizations.weight.original0": "pos_conv.weight_g",
    "encoder.pos_conv.0.parametrizations.weight.original1": "pos_conv.weight_v",
    "encoder.pos_conv.0.": "pos_conv.",
    "encoder.layer_norm.": "norm.",
    "encoder.layers.": "blocks.",
}
_NAMES = {"patch_embedding.weight", "pos_conv.weight_v", "blocks.0.self_attn.grep_a"}
_TABLE = "distances.weight"
_COPY = re.compile(r"blocks\.\d+\.self_attn\.relative_attention_bias\.weight")
_IGNORED = ("predictor.", "fbank.")  # the tuned files' head; what computes features


class BeatsImporter:
    """Loads the blocks that the encoder keeps of the whole BEATs of the config; see `Importer`."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of a BEATs."""
        return {_ours(plain_name(name)) for name in state} >= _NAMES

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load the encoder; Mismatch, in our names, where the file is another network's or its tables differ."""
        found: dict[str, Tensor] = {}
        for name, value in state.items():
            ours = _ours(plain_name(name))
            if ours in found:
                raise Mismatch(f"holds {ours} under two names, {name} the second")
            found[ours] = value
        copies = {name: found.pop(name) for name in list(found) if _COPY.fullmatch(name)}
        for name, table in copies.items():
            if not torch.equal(table, found.setdefault(_TABLE, table)):
                raise Mismatch(f"{name} is not that of the other blocks, which share one")
        with torch.device("meta"):
            whole = build_beats(config, whole=True).state_dict()
        fits = fitting(found, whole, model="BEATs", ignored=_IGNORED)
        encoder.load_state_dict({key: fits[key] for key in encoder.state_dict()})


def _ours(name: str) -> str:
    start = next((start for start in _RENAMED if name.startswith(start)), "")
    return _RENAMED.get(start, "") + name.removeprefix(start)
