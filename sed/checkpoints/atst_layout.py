"""Importer of ATST-Frame: its authors' checkpoint, and the files of PretrainedSED (github.com/fschmid56/PretrainedSED).

The authors' file has student and teacher of the self-distillation. PretrainedSED's files (`ATST-F_ssl.pt`, `_weak`,
`_strong_1`) hold a detector: the encoder under the prefix `model.atst.`, and two linear heads, `weak_head` and
`strong_head`. The importer is given the teacher alone or the tensors under that prefix alone, as `wrappers.unwrapped`
selects them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, fitting
from sed.checkpoints.wrappers import plain_name
from sed.models.atst_frame import build_atst_frame

# names of tensors; no other supported encoder has all of them
_CHARACTERISTIC = {"pos_embed", "patch_embed.patch_embed.weight", "norm_frame.weight"}
_IGNORED = ("mask_embed",)  # embedding of masked frames in pre-training
_POSITIONS = "pos_embed"


class AtstImporter:
    """`Importer` of a published ATST-Frame into an encoder that may have only its first blocks."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of an ATST-Frame."""
        return {plain_name(name) for name in state} >= _CHARACTERISTIC

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the encoder to load, all or the first blocks of the ATST-Frame.
            state: tensors of the file, which has all blocks.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another network, or has fewer positions than the config's clips have patches.
        """
        tensors = {plain_name(name): value for name, value in state.items()}
        with torch.device("meta"):  # for names and shapes only
            all_blocks = build_atst_frame(config, whole=True).state_dict()
        positions = tensors.get(_POSITIONS)
        if positions is not None and positions.ndim == 3:
            stored, needed = positions.shape[1] - 1, all_blocks[_POSITIONS].shape[1] - 1  # less the class token
            if stored < needed:
                raise Mismatch(f"pos_embed has positions for {stored} patches, the config's clips have {needed}")
            tensors[_POSITIONS] = positions[:, : needed + 1]  # shorter clips use the first ones, like the authors
        checked = fitting(tensors, all_blocks, model="ATST-Frame", ignored=_IGNORED)
        encoder.load_state_dict({key: checked[key] for key in encoder.state_dict()})
