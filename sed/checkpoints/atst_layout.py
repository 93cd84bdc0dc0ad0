"""Checkpoints of ATST-Frame, into the encoder: its authors' training, and PretrainedSED's files.

The authors' file is a training's, with the student and the teacher of the self-distillation: the teacher is loaded.
PretrainedSED's (`ATST-F_ssl.pt`, `_weak`, `_strong_1`) hold the encoder under `model.atst.` beside two heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, fitting
from sed.checkpoints.wrappers import plain_name
from sed.models.atst_frame import build_atst_frame

_NAMES = {"pos_embed", "patch_embed.patch_embed.weight", "norm_frame.weight"}
_IGNORED = ("mask_embed",)  # what stands for masked frames in pre-training
_POSITIONS = "pos_embed"


class AtstImporter:
    """Loads the blocks that the encoder keeps of the whole ATST-Frame of the config; see `Importer`."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of an ATST-Frame."""
        return {plain_name(name) for name in state} >= _NAMES

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load the encoder; Mismatch where the file is another network's, or of fewer positions than the clips have."""
        found = {plain_name(name): value for name, value in state.items()}
        with torch.device("meta"):
            whole = build_atst_frame(config, whole=True).state_dict()
        positions = found.get(_POSITIONS)
        if positions is not None and positions.ndim == 3:
            there, wanted = positions.shape[1] - 1, whole[_POSITIONS].shape[1] - 1
            if there < wanted:
                raise Mismatch(f"pos_embed has positions for {there} patches, the config's clips have {wanted}")
            found[_POSITIONS] = positions[:, : wanted + 1]  # shorter clips have the first ones, as its authors do
        fits = fitting(found, whole, model="ATST-Frame", ignored=_IGNORED)
        encoder.load_state_dict({key: fits[key] for key in encoder.state_dict()})
