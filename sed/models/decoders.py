"""The registry of time decoders: frames at the encoder's rate to frames at the output's rate.

A new decoder is a module with `OPTIONS` and a function that builds it from a config, the width of its input and the
number of the encoder's frames in a clip, and a line of `DECODERS`. One that also describes the clip as a whole keeps
to `Summarising`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from sed.registry import chosen


class Decoded(NamedTuple):
    """What a time decoder makes of a clip."""

    hidden: Tensor
    """(batch, frames, dim)"""
    summary: Tensor | None = None
    """(batch, dim): the clip as a whole, in the space of `hidden`; None where the decoder has no such thing"""


class Decoder(Protocol):
    """A `torch.nn.Module`: (batch, patches, input dim) -> `Decoded` of frames * upsample frames.

    Encoder frame i becomes output frames i * upsample to (i + 1) * upsample - 1; patches after `frames` are dropped.
    """

    dim: int
    frames: int
    """frames of the encoder in a clip"""
    upsample: int
    """output frames for each of them"""

    def __call__(self, x: Tensor) -> Decoded: ...


@runtime_checkable
class Summarising(Protocol):
    """A decoder whose outputs have a summary: what `clip_pooling: token` needs."""

    summarises: bool
    """True"""


@runtime_checkable
class Directed(Protocol):
    """A decoder each half of whose hidden state is of a recurrence of its own: forward, then backward in time.

    The detector's classifier then has a part for each, and `clip_pooling: ends` reads both.
    """

    def near(self, x: Tensor) -> Tensor | None:
        """Return the hidden state of recurrences that see a window around each frame alone; None: there is none."""
        ...


RunGru = Callable[[nn.GRU, Tensor, int], Tensor]
"""(gru, x (batch, frames, dim), repeat) -> (batch, frames * repeat, directions * units): each frame `repeat` times"""


@runtime_checkable
class RunsGrus(Protocol):
    """A decoder whose GRUs are all run by one function, in whose place another precision may be put."""

    run_gru: RunGru


@runtime_checkable
class GruBased(RunsGrus, Protocol):
    """A decoder of one Bi-GRU, which an equal implementation may run: training on a GPU and the CPU session set it."""

    gru: nn.GRU


DECODERS = {
    "gru": "sed.models.gru_decoder:build_gru",
    "conformer": "sed.models.conformer:build_conformer",
    "none": "sed.models.no_decoder:build_no_decoder",
}
OPTIONS = {
    "decoder": {"default": "gru", "help": "from the encoder's frames to the output's", "choices": DECODERS},
    "upsample": {
        "default": 10,
        "help": "output frames for each of the encoder's (1: the encoder's own rate)",
        "least": 1,
    },
}
OPTIONS_FROM = DECODERS


def build_decoder(config: Mapping[str, Any], *, dim: int, frames: int) -> Decoder:
    """Build the time decoder of a flat config; ValueError where its values make none.

    Args:
        config: A flat config, whose other keys are left alone.
        dim: Width of its input, the encoder's.
        frames: Frames of the encoder in a clip.
    """
    decoder: Decoder = chosen(DECODERS, config["decoder"], "decoder")(config, dim=dim, frames=frames)
    return decoder


def repeated(x: Tensor, repeat: int) -> Tensor:
    """Map (batch, frames, dim) to (batch, frames * repeat, dim), each frame `repeat` times: nearest interpolation."""
    return x.repeat_interleave(repeat, dim=1) if repeat > 1 else x
