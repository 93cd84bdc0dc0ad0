"""Importer of BEATs: its authors' files, pre-trained or fine-tuned, and PretrainedSED's.

The authors' file is `{cfg, model}`. PretrainedSED's files (`BEATs_ssl.pt`, `_weak`, `_strong_1`) hold a detector: the
encoder under the prefix `model.beats.`, and the heads `weak_head` and `strong_head`, which are not loaded here
(`published_head` loads the second). The positional convolution is weight-normalised: norms and directions are named
`weight_g` and `weight_v` by `nn.utils.weight_norm`, `original0` and `original1` by its successor in `parametrizations`.
All blocks share one table of relative position biases; files repeat it in every block.
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

_RENAMED = {  # prefix in files: prefix in `sed.models.beats`
    "encoder.pos_conv.0.parametrizations.weight.original0": "pos_conv.weight_g",
    "encoder.pos_conv.0.parametrizations.weight.original1": "pos_conv.weight_v",
    "encoder.pos_conv.0.": "pos_conv.",
    "encoder.layer_norm.": "norm.",
    "encoder.layers.": "blocks.",
}
# Our names of tensors; no other supported encoder has all of them. `grep_a` scales the gated relative position bias.
_CHARACTERISTIC = {"patch_embedding.weight", "pos_conv.weight_v", "blocks.0.self_attn.grep_a"}
_BIAS_TABLE = "distances.weight"
_BIAS_TABLE_IN_FILES = re.compile(r"blocks\.\d+\.self_attn\.relative_attention_bias\.weight")
_IGNORED = (
    "predictor.",  # the tagging head of the authors' fine-tuned files
    "fbank.",  # the front end, in files of the package avex (github.com/earthspecies/avex)
)


class BeatsImporter:
    """`Importer` of a published BEATs into an encoder that may have only its first blocks."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of a BEATs."""
        return {_ours(plain_name(name)) for name in state} >= _CHARACTERISTIC

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the encoder to load, all or the first blocks of the BEATs.
            state: tensors of the file, which has all blocks.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another network, has a tensor twice, or its copies of the bias table differ
                (the message has our names of tensors, and `blocks.N.` as prefix of a block's copy of that table).
        """
        tensors: dict[str, Tensor] = {}
        for name, value in state.items():
            ours = _ours(plain_name(name))
            if ours in tensors:
                raise Mismatch(f"holds {ours} under two names, {name} the second")
            tensors[ours] = value
        copies = {name: tensors.pop(name) for name in list(tensors) if _BIAS_TABLE_IN_FILES.fullmatch(name)}
        for name, table in copies.items():
            if not torch.equal(table, tensors.setdefault(_BIAS_TABLE, table)):
                raise Mismatch(f"{name} differs from that of the other blocks, which share it")
        with torch.device("meta"):  # for names and shapes only
            all_blocks = build_beats(config, whole=True).state_dict()
        checked = fitting(tensors, all_blocks, model="BEATs", ignored=_IGNORED)
        encoder.load_state_dict({key: checked[key] for key in encoder.state_dict()})


def _ours(name: str) -> str:
    """Return our name of a tensor of a file."""
    prefix = next((prefix for prefix in _RENAMED if name.startswith(prefix)), "")
    return _RENAMED.get(prefix, "") + name.removeprefix(prefix)
