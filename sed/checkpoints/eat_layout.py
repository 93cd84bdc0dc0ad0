"""Importer of EAT and SSLAM: the authors' layout, pre-trained or fine-tuned, and Hugging Face's.

The authors' file has `modality_encoders.IMAGE.*` and `blocks.*`, and for pre-training a decoder and the teacher
(`_ema`), which the published fine-tuning ignores as well. Hugging Face's has shorter names and the same values.
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
_RENAMED = {
    f"{_AUTHORS}context_encoder.norm.": "pre_norm.",
    f"{_AUTHORS}fixed_positional_encoder.": "",
    "fixed_positional_encoder.": "",
    _AUTHORS: "",
}
_NAMES = {"local_encoder.proj.weight", "extra_tokens", "pre_norm.weight", "blocks.0.attn.qkv.weight"}
_IGNORED = ("_ema.", "decoder.", "shared_decoder.", "recon_proj.", "cls_proj.", "center", "fc_norm.", "head.")


class EatImporter:
    """`Importer` of the first blocks of an EAT."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of an EAT in either layout."""
        return {_ours(plain_name(name)) for name in state} >= _NAMES

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the first blocks of the EAT.
            state: the whole EAT.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another network, or for shorter clips; the message has our names.
        """
        found = {_ours(plain_name(name)): value for name, value in state.items()}
        with torch.device("meta"):
            whole = build_eat(config, whole=True).state_dict()
        # Positions are fixed, so a file may lack them. Bands of a step are adjacent: shorter clips use the first ones.
        positions = found.setdefault(_POSITIONS, encoder.state_dict()[_POSITIONS])
        if positions.ndim == 3:
            there, wanted = positions.shape[1], whole[_POSITIONS].shape[1]
            if there < wanted:
                raise Mismatch(f"{_POSITIONS} are of {there} patches, the config's clips have {wanted}")
            found[_POSITIONS] = positions[:, :wanted]
        fits = fitting(found, whole, model="EAT", ignored=_IGNORED)
        encoder.load_state_dict({key: fits[key] for key in encoder.state_dict()})


def _ours(name: str) -> str:
    start = next((start for start in _RENAMED if name.startswith(start)), "")
    return _RENAMED.get(start, "") + name.removeprefix(start)
