"""Registry of time decoders, from frames at the encoder's rate to frames at the output's rate.

A new decoder is a module with `OPTIONS` and a function that builds it from a config, the width of its input and the
number of encoder frames per clip, and a line of `DECODERS`. One that also returns a summary of the clip implements
`Summarising`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from sed.registry import chosen


class Decoded(NamedTuple):
    """Output of a time decoder."""

    hidden: Tensor
    """(batch, frames, dim)"""
    summary: Tensor | None = None
    """summary of the clip (batch, dim), in the space of `hidden`; None if the decoder has none"""


class Decoder(Protocol):
    """Protocol: a `torch.nn.Module` from (batch, patches, input dim) to `Decoded` of frames * upsample frames.

    Encoder frame i becomes output frames i * upsample to (i + 1) * upsample - 1; patches after `frames` are dropped.
    """

    dim: int
    frames: int
    """encoder frames per clip"""
    upsample: int
    """output frames per encoder frame"""

    def __call__(self, x: Tensor) -> Decoded: ...


@runtime_checkable
class Summarising(Protocol):
    """Protocol of a decoder whose output has a summary, as `clip_pooling: token` needs."""

    summarises: bool
    """True"""


@runtime_checkable
class Directed(Protocol):
    """Protocol of a decoder with separate directions: its hidden state is that of a forward, then of a backward GRU.

    The detector has a classifier for each direction, and `clip_pooling: ends` uses both.
    """

    def near(self, x: Tensor) -> Tensor | None:
        """Return the hidden state of GRUs that are run over a window around each frame; None without windows."""
        ...


RunGru = Callable[[nn.GRU, Tensor, int], Tensor]
"""function of (gru, x (batch, frames, dim), repeat) that runs a GRU over x with each frame repeated `repeat` times,
and returns (batch, frames * repeat, directions * units)"""


@runtime_checkable
class RunsGrus(Protocol):
    """Protocol of a decoder whose GRUs are all run by one function, which can be replaced by one in bf16."""

    run_gru: RunGru


@runtime_checkable
class GruBased(RunsGrus, Protocol):
    """Protocol of a decoder with one Bi-GRU; its implementation is replaced in GPU training and in the CPU session."""

    gru: nn.GRU


DECODERS = {
    "gru": "sed.models.gru_decoder:build_gru",
    "conformer": "sed.models.conformer:build_conformer",
    "none": "sed.models.no_decoder:build_no_decoder",
}
OPTIONS = {
    "decoder": {"default": "gru", "help": "network between the encoder's frames and the output", "choices": DECODERS},
    "upsample": {
        "default": 10,
        "help": "output frames per encoder frame (1: the encoder's rate)",
        "least": 1,
    },
}
OPTIONS_FROM = DECODERS


def build_decoder(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build the time decoder of a flat config.

    Args:
        config: a flat config, whose other keys are ignored.
        dim: width of the encoder.
        frames: encoder frames per clip.

    Returns:
        The decoder.

    Raises:
        ValueError: the values are inconsistent.
    """
    decoder: Decoder = chosen(DECODERS, config["decoder"], "decoder")(config, dim=dim, frames=frames)
    return decoder


def repeated(x: Tensor, repeat: int) -> Tensor:
    """Repeat each frame (nearest interpolation): (batch, frames, dim) to (batch, frames * repeat, dim)."""
    return x.repeat_interleave(repeat, dim=1) if repeat > 1 else x
