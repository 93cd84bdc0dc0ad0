"""The registry of encoders, and what a detector asks of one.

A new encoder is a module with `OPTIONS` and a function that builds it from a config, and a line of `ENCODERS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from sed.errors import UserError
from sed.features.params import mismatch
from sed.registry import chosen


class Encoder(Protocol):
    """A `torch.nn.Module`: features (batch, input_frames, mel_bins) -> grid (batch, bands, patches, dim).

    Parameters that weight decay leaves alone besides norms and biases are named by the attribute `no_weight_decay` of
    the module that holds them.
    """

    dim: int
    grid: tuple[int, int]
    """bands and patches in time"""
    time_stride: int
    """frames of the features from one patch to the next"""
    fresh_norm: bool
    """whether the detector puts a LayerNorm of its own behind it"""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def __call__(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class SplitEncoder(Protocol):
    """An encoder whose first part is kept out of compiled code: `from_embedded(embed(x))` is `encoder(x)`."""

    def embed(self, x: Tensor) -> Tensor: ...

    def from_embedded(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class BoundEncoder(Protocol):
    """An encoder that is of one front end, as published weights are."""

    front_end: Mapping[str, Any]
    """{setting: value} that a config must have; others are left alone"""


@runtime_checkable
class CountedEncoder(Protocol):
    """An encoder that knows its cost."""

    def operations(self) -> float:
        """Return the multiply-adds of one clip's forward pass, times two."""
        ...


ENCODERS = {
    "ast": "sed.models.ast:build_ast",
    "atst_frame": "sed.models.atst_frame:build_atst_frame",
    "beats": "sed.models.beats:build_beats",
    "cnn": "sed.models.cnn:build_cnn",
    "crnn": "sed.models.cnn:build_cnn",
    "dasheng": "sed.models.dasheng:build_dasheng",
    "eat": "sed.models.eat:build_eat",
    "fbcrnn": "sed.models.fbcrnn:build_fbcrnn",
    "panns": "sed.models.panns:build_panns",
}
EARLIER_NAMES = {"crnn": "cnn"}
"""{earlier name of an encoder: its name now}"""
OPTIONS = {
    "encoder": {"default": "ast", "help": "from features to a grid of frames and bands", "choices": ENCODERS},
    "pretrained": {
        "default": "",
        "help": "checkpoint to start from: a file, a folder or a name; none: random weights",
    },
    "freeze_batchnorm": {
        "default": False,
        "help": "keep the encoder's batch norms as they were loaded: statistics, scale and shift",
    },
}
OPTIONS_FROM = ENCODERS


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """Build the encoder that a flat config names; ValueError where its values make none."""
    encoder: Encoder = chosen(ENCODERS, config["encoder"], "encoder")(config)
    return encoder


def check_front_end(encoder: Encoder, config: Mapping[str, Any]) -> None:
    """Refuse, by a UserError, a config whose front end is not the one that its encoder is bound to."""
    if isinstance(encoder, BoundEncoder) and (wrong := mismatch(config, encoder.front_end)):
        raise UserError(
            f"encoder '{config['encoder']}' has a front end of its own: {wrong} (its config in conf/ names it)"
        )
