"""Registry of encoders, and their protocols.

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
    """Protocol: a `torch.nn.Module` from features (batch, input_frames, mel_bins) to (batch, bands, patches, dim).

    The result is a grid: bands along frequency, patches along time. In a CNN, a patch is a time step of its output.

    The encoder, like any module of a detector, may list parameters without weight decay by name in an attribute
    `no_weight_decay` (`sed.training.parameters.decayed`); vectors, such as norms and biases, have none in any case.
    """

    dim: int
    grid: tuple[int, int]
    """numbers of bands and of patches in time"""
    time_stride: int
    """feature frames from one patch to the next"""
    fresh_norm: bool
    """whether the encoder ends without its published final norm: an AST always, others if they leave out last blocks,
    on whose output that norm was trained; the detector then adds a new LayerNorm"""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def __call__(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class SplitEncoder(Protocol):
    """Protocol of an encoder whose embedding is excluded from compilation: encoder(x) = from_embedded(embed(x)).

    `sed.training.gpu.graphs.compiled` says why.
    """

    def embed(self, x: Tensor) -> Tensor: ...

    def from_embedded(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class BoundEncoder(Protocol):
    """Protocol of an encoder that needs a certain front end, that of its published weights."""

    front_end: Mapping[str, Any]
    """{setting: value} that a config must have; other settings are free"""


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
"""{earlier name of an encoder: its present name}; configs may have either, so that both are keys of `ENCODERS`"""
OPTIONS = {
    "encoder": {"default": "ast", "help": "network from features to a grid of bands and patches", "choices": ENCODERS},
    "pretrained": {
        "default": "",
        "help": "checkpoint of the initial weights: a file, a folder, or a name in "
        "sed/checkpoints/published_models.tsv or on Hugging Face; empty or 'none': random weights",
    },
    "freeze_batchnorm": {
        "default": False,
        "help": "freeze the encoder's batch norms as loaded: statistics, scale and shift",
    },
}
OPTIONS_FROM = ENCODERS
"""modules whose options follow these; `sed.config.literals` reads them without an import"""


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """Build the encoder that a flat config names.

    Raises:
        ValueError: there is no encoder of that name, or its values are inconsistent.
    """
    encoder: Encoder = chosen(ENCODERS, config["encoder"], "encoder")(config)
    return encoder


def check_front_end(encoder: Encoder, config: Mapping[str, Any]) -> None:
    """Raise UserError if a config's front end is not the one that its encoder needs."""
    if isinstance(encoder, BoundEncoder) and (wrong := mismatch(config, encoder.front_end)):
        raise UserError(
            f"encoder '{config['encoder']}' needs its own front end: {wrong} (its config in conf/ has the settings)"
        )
