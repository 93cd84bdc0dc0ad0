"""Importer of ATST-Frame: its authors' checkpoint, and PretrainedSED's files.

The authors' file has student and teacher of the self-distillation; the teacher is loaded. In PretrainedSED's files
(`ATST-F_ssl.pt`, `_weak`, `_strong_1`) the encoder has the prefix `model.atst.`, beside two heads.
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
_IGNORED = ("mask_embed",)  # embedding of masked frames in pre-training
_POSITIONS = "pos_embed"


class AtstImporter:
    """`Importer` of the first blocks of an ATST-Frame."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of an ATST-Frame."""
        return {plain_name(name) for name in state} >= _NAMES

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the first blocks of the ATST-Frame.
            state: the whole ATST-Frame.
            config: the config of the encoder.

        Raises:
            Mismatch: the file is of another network, or has fewer positions than the config's clips have patches.
        """
        found = {plain_name(name): value for name, value in state.items()}
        with torch.device("meta"):
            whole = build_atst_frame(config, whole=True).state_dict()
        positions = found.get(_POSITIONS)
        if positions is not None and positions.ndim == 3:
            there, wanted = positions.shape[1] - 1, whole[_POSITIONS].shape[1] - 1
            if there < wanted:
                raise Mismatch(f"pos_embed has positions for {there} patches, the config's clips have {wanted}")
            found[_POSITIONS] = positions[:, : wanted + 1]  # shorter clips use the first ones, like the authors
        fits = fitting(found, whole, model="ATST-Frame", ignored=_IGNORED)
        encoder.load_state_dict({key: fits[key] for key in encoder.state_dict()})
