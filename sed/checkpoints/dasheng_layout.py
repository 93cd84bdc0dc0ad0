"""Importer of Dasheng: its authors' files, pre-trained or fine-tuned on AudioSet, and Hugging Face's.

Some files have the window and the mel filter bank of their front end. These are compared with the config's: other
features would cause no error, only worse results.
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

# names of tensors; no other supported encoder has all of them
_CHARACTERISTIC = {"time_pos_embed", "freq_pos_embed", "patch_embed.proj.weight", "init_bn.1.weight"}
_POSITIONS = "time_pos_embed"
_WINDOW, _BANK = "front_end.0.spectrogram.window", "front_end.0.mel_scale.fb"
TOLERANCE = 1e-3
"""largest difference of window or mel bank, whose values are at most 1: torchaudio's float32 bank has errors of 2e-4"""
_IGNORED = ("front_end.", "outputlayer.", "mask_token")  # the front end is compared; head and mask token are not used


class DashengImporter:
    """`Importer` of a published Dasheng into an encoder that may have only its first blocks."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of a Dasheng."""
        return {plain_name(name) for name in state} >= _CHARACTERISTIC

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the encoder to load, all or the first blocks of the Dasheng.
            state: tensors of the file, which has all blocks.
            config: the config of the encoder and its front end.

        Raises:
            Mismatch: the file is of another network or front end, or for shorter clips.
        """
        tensors = {plain_name(name): value for name, value in state.items()}
        check_front_end(tensors, FrontEnd.from_config(config))
        with torch.device("meta"):  # for names and shapes only
            all_blocks = {_theirs(key): value for key, value in build_dasheng(config, whole=True).state_dict().items()}
        positions = tensors.get(_POSITIONS)
        if positions is not None and positions.ndim == 4:  # (1, dim, 1, patches); `fitting` refuses other shapes
            stored, needed = positions.shape[3], all_blocks[_POSITIONS].shape[3]
            if stored < needed:
                raise Mismatch(f"{_POSITIONS} is of {stored} patches, the config's clips have {needed}")
            tensors[_POSITIONS] = positions[..., :needed]  # shorter clips use the first ones, like the authors
        checked = fitting(tensors, all_blocks, model="Dasheng", ignored=_IGNORED)
        encoder.load_state_dict({key: checked[_theirs(key)] for key in encoder.state_dict()})


def _theirs(key: str) -> str:
    """Return the name in files of one of our tensors; there the batch norm is the second module of a sequence."""
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
            how = f"of shape {list(state[key].shape)}, the config's of {list(ours.shape)}"
        elif not (error := (state[key].double() - ours.double()).abs().max().item()) <= TOLERANCE:  # true for NaN, too
            how = f"{error:.2g} off the config's"
        else:
            continue
        raise Mismatch(f"{key} is {how}: made for another front end (conf/logmel_dasheng.yaml has the published one)")
