"""Registry of time decoders, from patches in time at the encoder's rate to output frames, `upsample` times as many.

A new decoder is a module with `OPTIONS` and a function that builds it from a config, the width of its input and the
number of encoder frames per clip, and a line of `DECODERS`. One that also returns a summary of the clip implements
`Summarising`. Letters in parentheses are the sources of values, such as P, the AST-SED paper (egs/desed/README.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

from torch import Tensor, nn

from sed.registry import chosen


class Decoded(NamedTuple):
    """Output of a time decoder."""

    hidden: Tensor
    """input of the classifier (batch, output frames, dim)"""
    summary: Tensor | None = None
    """summary of the clip (batch, dim), in the space of `hidden`; None if the decoder has none"""


class Decoder(Protocol):
    """Protocol: a `torch.nn.Module` from (batch, patches, input dim) to `Decoded` of frames * upsample frames.

    Encoder frames are the first `frames` patches in time, which cover the clip; later patches are dropped. Encoder
    frame i becomes output frames i * upsample to (i + 1) * upsample - 1.
    """

    dim: int
    """width of `Decoded.hidden`"""
    frames: int
    """encoder frames per clip"""
    upsample: int
    """output frames per encoder frame"""

    def __call__(self, x: Tensor) -> Decoded: ...


@runtime_checkable
class Summarising(Protocol):
    """Protocol of a decoder whose output has a summary, as `clip_pooling: token` needs."""

    summarises: bool
    """always True; its presence marks such a decoder"""


@runtime_checkable
class Directed(Protocol):
    """Protocol of a decoder with separate directions: `gru` with `gru_directions: apart` (FB-CRNN).

    The first half of `Decoded.hidden` is computed from a forward GRU alone, the second from a backward GRU alone: their
    states, or what further layers make of these. The detector has a classifier for each direction, and
    `clip_pooling: ends` uses both.
    """

    def near(self, x: Tensor) -> Tensor | None:
        """Map (batch, patches, input dim) to what GRUs give that are run over a window around each output frame.

        The result has the shape and the halves of `Decoded.hidden`; it is None without windows (`detection_frames`),
        and in training.
        """
        ...


RunGru = Callable[[nn.GRU, Tensor, int], Tensor]
"""function of (gru, x (batch, frames, dim), repeat) that runs a GRU over x with each frame repeated `repeat` times,
and returns (batch, frames * repeat, directions * units)"""


@runtime_checkable
class RunsGrus(Protocol):
    """Protocol of a decoder whose GRUs are all run by `run_gru`, which training on a GPU replaces by one in bf16."""

    run_gru: RunGru


class GruBased(RunsGrus, Protocol):
    """Protocol of a decoder with one Bi-GRU; see `is_gru_based`.

    Its `run_gru` has faster replacements: a persistent kernel on a GPU, packed weights for prediction on a CPU.
    """

    gru: nn.GRU


def is_gru_based(decoder: object) -> TypeGuard[GruBased]:
    """Return whether a decoder has one Bi-GRU, `gru`, which its `run_gru` runs.

    `isinstance` would not do: from Python 3.12 on, a protocol's check does not find submodules, which torch does not
    keep in the instance's dictionary.
    """
    gru = getattr(decoder, "gru", None)
    return isinstance(decoder, RunsGrus) and isinstance(gru, nn.GRU) and gru.bidirectional


DECODERS = {
    "gru": "sed.models.gru_decoder:build_gru",
    "conformer": "sed.models.conformer:build_conformer",
    "none": "sed.models.no_decoder:build_no_decoder",
}
OPTIONS = {
    "decoder": {"default": "gru", "help": "network between the encoder's frames and the output", "choices": DECODERS},
    "upsample": {
        "default": 10,
        "help": "output frames per encoder frame (P: 10; 1: the encoder's rate)",
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
