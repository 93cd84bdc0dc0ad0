"""Importer of EAT and SSLAM: the authors' layout, pre-trained or fine-tuned, and Hugging Face's.

SSLAM has EAT's network. The authors' file has `modality_encoders.IMAGE.*` and `blocks.*`, and what only pre-training
needs: a decoder and the teacher (`_ema`), which the authors' fine-tuning ignores, too. Hugging Face's file has shorter
names and equal values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, fitting
from sed.checkpoints.wrappers import plain_name
from sed.models.eat import build_eat

_AUTHORS = "modality_encoders.IMAGE."
_POSITIONS = "positions"
_RENAMED = {  # prefix in files: prefix in `sed.models.eat`
    f"{_AUTHORS}context_encoder.norm.": "pre_norm.",
    f"{_AUTHORS}fixed_positional_encoder.": "",
    "fixed_positional_encoder.": "",
    _AUTHORS: "",
}
# our names of tensors; no other supported encoder has all of them
_CHARACTERISTIC = {"local_encoder.proj.weight", "extra_tokens", "pre_norm.weight", "blocks.0.attn.qkv.weight"}
# what only pre-training needs, and the tagging head of fine-tuned files
_IGNORED = ("_ema.", "decoder.", "shared_decoder.", "recon_proj.", "cls_proj.", "center", "fc_norm.", "head.")


class EatImporter:
    """`Importer` of a published EAT into an encoder that may have only its first blocks."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of an EAT in either layout."""
        return {_ours(plain_name(name)) for name in state} >= _CHARACTERISTIC

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the encoder to load, all or the first blocks of the EAT.
            state: tensors of the file, which has all blocks.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another network, or for shorter clips (tensors have our names in the message).
        """
        tensors = {_ours(plain_name(name)): value for name, value in state.items()}
        with torch.device("meta"):  # for names and shapes only
            all_blocks = build_eat(config, whole=True).state_dict()
        # Position embeddings are sinusoids, not trained, so a file may lack them. The patches of one time step are
        # adjacent: shorter clips use the first positions.
        positions = tensors.setdefault(_POSITIONS, encoder.state_dict()[_POSITIONS])
        if positions.ndim == 3:
            stored, needed = positions.shape[1], all_blocks[_POSITIONS].shape[1]
            if stored < needed:
                raise Mismatch(f"{_POSITIONS} are of {stored} patches, the config's clips have {needed}")
            tensors[_POSITIONS] = positions[:, :needed]
        checked = fitting(tensors, all_blocks, model="EAT", ignored=_IGNORED)
        encoder.load_state_dict({key: checked[key] for key in encoder.state_dict()})


def _ours(name: str) -> str:
    """Return our name of a tensor of a file."""
    prefix = next((prefix for prefix in _RENAMED if name.startswith(prefix)), "")
    return _RENAMED.get(prefix, "") + name.removeprefix(prefix)
