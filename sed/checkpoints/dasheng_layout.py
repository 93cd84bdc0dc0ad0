"""Importer of Dasheng: its authors' files, pre-trained or fine-tuned on AudioSet, and Hugging Face's.

Some files have the window and the mel bank of their front end. They are compared with ours, because training with other
features would work without an error, but worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, fitting
from sed.checkpoints.wrappers import plain_name
from sed.features.logmel import FrontEnd
from sed.models.dasheng import build_dasheng

_NAMES = {"time_pos_embed", "freq_pos_embed", "patch_embed.proj.weight", "init_bn.1.weight"}
_POSITIONS = "time_pos_embed"
_WINDOW, _BANK = "front_end.0.spectrogram.window", "front_end.0.mel_scale.fb"
TOLERANCE = 1e-3
"""for window and bank, whose values are at most 1: torchaudio computes its bank in float32, with errors of 2e-4"""
_IGNORED = ("front_end.", "outputlayer.", "mask_token")  # checked, and heads


class DashengImporter:
    """`Importer` of the first blocks of a Dasheng."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of a Dasheng."""
        return {plain_name(name) for name in state} >= _NAMES

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the first blocks of the Dasheng.
            state: the whole Dasheng.
            config: the config of the encoder and its front end.

        Raises:
            Mismatch: the file is of another network or front end, or for shorter clips.
        """
        found = {plain_name(name): value for name, value in state.items()}
        check_front_end(found, FrontEnd.from_config(config))
        with torch.device("meta"):
            whole = {_theirs(key): value for key, value in build_dasheng(config, whole=True).state_dict().items()}
        positions = found.get(_POSITIONS)
        if positions is not None and positions.ndim == 4:
            there, wanted = positions.shape[3], whole[_POSITIONS].shape[3]
            if there < wanted:
                raise Mismatch(f"{_POSITIONS} is of {there} patches, the config's clips have {wanted}")
            found[_POSITIONS] = positions[..., :wanted]  # shorter clips use the first ones, like the authors
        fits = fitting(found, whole, model="Dasheng", ignored=_IGNORED)
        encoder.load_state_dict({key: fits[_theirs(key)] for key in encoder.state_dict()})


def _theirs(key: str) -> str:
    return key.replace("init_bn.", "init_bn.1.", 1)


def check_front_end(state: Mapping[str, Tensor], front_end: FrontEnd) -> None:
    """Compare the window and the mel bank of a file's front end, if it has them, with ours.

    Args:
        state: tensors of the file.
        front_end: front end of the training.

    Raises:
        Mismatch: they differ; the message names the first.
    """
    for key, ours in ((_WINDOW, front_end.taper), (_BANK, front_end.bank)):
        if key not in state:
            continue
        if state[key].shape != ours.shape:
            off = f"of shape {list(state[key].shape)}, the config's of {list(ours.shape)}"
        elif not (error := (state[key].double() - ours.double()).abs().max().item()) <= TOLERANCE:
            off = f"{error:.2g} off the config's"
        else:
            continue
        raise Mismatch(f"{key} is {off}: made for another front end (conf/logmel_dasheng.yaml has the published one)")
