"""Importer of BEATs: its authors' files, pre-trained or fine-tuned, and PretrainedSED's.

The authors' file is `{cfg, model}`; in PretrainedSED's files (`BEATs_ssl.pt`, `_weak`, `_strong_1`) the encoder has the
prefix `model.beats.`, beside two heads. The positional convolution is weight-normalised; PyTorch has had two names for
each of its tensors. All blocks share the table of position biases, of which files have a copy per block.
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
_IGNORED = ("predictor.", "fbank.")  # head of the fine-tuned files; feature extraction


class BeatsImporter:
    """`Importer` of the first blocks of a BEATs."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of a BEATs."""
        return {_ours(plain_name(name)) for name in state} >= _NAMES

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the first blocks of the BEATs.
            state: the whole BEATs.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another network, or its copies of the table differ; the message has our names.
        """
        found: dict[str, Tensor] = {}
        for name, value in state.items():
            ours = _ours(plain_name(name))
            if ours in found:
                raise Mismatch(f"holds {ours} under two names, {name} the second")
            found[ours] = value
        copies = {name: found.pop(name) for name in list(found) if _COPY.fullmatch(name)}
        for name, table in copies.items():
            if not torch.equal(table, found.setdefault(_TABLE, table)):
                raise Mismatch(f"{name} differs from that of the other blocks, which share it")
        with torch.device("meta"):
            whole = build_beats(config, whole=True).state_dict()
        fits = fitting(found, whole, model="BEATs", ignored=_IGNORED)
        encoder.load_state_dict({key: fits[key] for key in encoder.state_dict()})


def _ours(name: str) -> str:
    start = next((start for start in _RENAMED if name.startswith(start)), "")
    return _RENAMED.get(start, "") + name.removeprefix(start)
