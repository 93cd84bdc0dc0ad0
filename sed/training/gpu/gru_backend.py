"""Choice of the Bi-GRU implementation in GPU training: the persistent kernel if it fits, else cuDNN in bf16.

Autocast would run cuDNN's GRU in float16, even if autocast's type is bf16: the gradients of a mean over half a
million frame posteriors underflow then.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sed.gpu.persistent_gru import Last, bi_gru, plan_for, weights_of
from sed.models.decoders import RunGru, RunsGrus, is_gru_based, repeated
from sed.models.detector import Detector
from sed.models.gru_decoder import run_gru


def use_bf16(detector: Detector) -> None:
    """Make the decoder's GRUs, if any, run by cuDNN in bf16."""
    if isinstance(detector.decoder, RunsGrus):
        detector.decoder.run_gru = bf16_gru


@contextmanager
def run_by(detector: Detector, run_gru: RunGru) -> Iterator[None]:
    """Make the decoder's GRUs, if any, run by `run_gru` within the context."""
    decoder = detector.decoder
    if not isinstance(decoder, RunsGrus):
        yield
        return
    before = decoder.run_gru
    decoder.run_gru = run_gru
    try:
        yield
    finally:
        decoder.run_gru = before


@contextmanager
def by_cudnn(detector: Detector) -> Iterator[None]:
    """Apply `use_bf16` within the context, silencing warnings, such as cuDNN's of weights that are not contiguous."""
    with run_by(detector, bf16_gru), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def bf16_gru(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
    """Run a GRU by cuDNN in bf16, regardless of autocast; see `sed.models.decoders.RunGru`.

    Args:
        gru: the layers, whose weights may be float32.
        x: input (clips, inputs, dim).
        repeat: how many times each input frame is repeated.

    Returns:
        States (clips, inputs * repeat, directions * units), bf16.
    """
    x = repeated(x, repeat)
    directions = 2 if gru.bidirectional else 1
    with torch.autocast(x.device.type, enabled=False):
        weights = [w.to(torch.bfloat16) for w in gru._flat_weights if w is not None]
        x = x.to(torch.bfloat16)
        state = x.new_zeros(gru.num_layers * directions, len(x), gru.hidden_size)
        dropout = gru.dropout if gru.training else 0.0
        return torch.gru(
            x,
            state,
            weights,
            gru.bias,
            gru.num_layers,
            dropout,
            gru.training,
            gru.bidirectional,
            gru.batch_first,
        )[0]


def use_persistent(detector: Detector) -> bool:
    """Make the decoder's GRU run by the persistent kernel, and by cuDNN in bf16 for batches that do not fit.

    Returns:
        False, without a change, if the kernel does not fit this decoder or GPU.
    """
    decoder = detector.decoder
    if not is_gru_based(decoder):
        return False
    device = next(decoder.gru.parameters()).device
    if plan_for(decoder.gru, 1, device) is None:
        return False
    decoder.run_gru = persistent_gru
    return True


def persistent_gru(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
    """Run a GRU by the persistent kernel, or by cuDNN in bf16 if the batch does not fit; see `bf16_gru`.

    Args:
        gru: the layers.
        x: input (clips, inputs, dim).
        repeat: how many times each input frame is repeated.

    Returns:
        States (clips, inputs * repeat, 2 units), bf16.
    """
    plan = plan_for(gru, len(x), x.device)
    if plan is None:
        return bf16_gru(gru, x, repeat)
    return bi_gru(x, weights_of(gru, exact=False), repeat=repeat, plan=plan)


def beside_equal(clips: int, between: Callable[[], None]) -> RunGru:
    """Return a `persistent_gru` whose last launches can run at the same time as an equal GRU.

    They use the multiprocessors that the other GRU leaves, and take no longer than it. If too few are left, the
    function is `persistent_gru` itself.

    Args:
        clips: clips per batch of the other GRU.
        between: called before these launches, if there are any.

    Returns:
        The function.
    """

    def run(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
        plan, other = (plan_for(gru, count, x.device) for count in (len(x), clips))
        few = plan_for(gru, len(x), x.device, beside=other) if other else None
        if plan is None or other is None or few is None:
            return persistent_gru(gru, x, repeat)
        # A launch with larger slices takes longer, on an H200 1.7 times as long with 48 units as with 16: then one
        # launch less runs beside the other GRU, so that they end no later than it.
        launches = gru.num_layers * other.launches(clips) - (few.slice > other.slice)
        last = Last(few, launches, between) if launches else None
        return bi_gru(x, weights_of(gru, exact=False), repeat=repeat, plan=plan, last=last)

    return run


def flash_rnn(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
    """Run a bidirectional GRU by FlashRNN's fused kernel (package flashrnn), to compare speeds only.

    The states are not those of `gru`: weights are not put into FlashRNN's order of gates, and `bias_hh` is left out.

    Args:
        gru: the layers.
        x: input (clips, inputs, dim).
        repeat: how many times each input frame is repeated.

    Returns:
        States (clips, inputs * repeat, 2 units), bf16.
    """
    from flashrnn import flashrnn

    x, units = repeated(x, repeat).to(torch.bfloat16), gru.hidden_size
    bias = x.new_zeros(4, 1, units)  # for reset, update, and both parts of the candidate state
    for layer in range(gru.num_layers):
        states = []
        for direction in ("", "_reverse"):
            names = (f"{name}_l{layer}{direction}" for name in ("weight_ih", "weight_hh", "bias_ih"))
            w_ih, w_hh, b_ih = (getattr(gru, name).to(x.dtype) for name in names)
            gates = nn.functional.linear(x.flip(1) if direction else x, w_ih, b_ih).unflatten(2, (3, 1, units))
            how = {"function": "gru", "backend": "cuda_fused", "dtype": "bfloat16"}
            out = flashrnn(gates, w_hh.view(3, 1, units, units), bias, **how)[0][0].squeeze(2)
            states.append(out.flip(1) if direction else out)
        x = torch.cat(states, 2)
    return x


def implementations(gru: nn.GRU, clips: int, device: torch.device) -> dict[str, RunGru]:
    """Return the implementations of a bidirectional GRU that can run on a device.

    Args:
        gru: the layers.
        clips: clips per batch.
        device: the device.

    Returns:
        {name: function}.
    """
    if device.type != "cuda":
        return {"torch": run_gru}
    found: dict[str, RunGru] = {"cuDNN in bf16": bf16_gru}
    if plan_for(gru, clips, device):
        found = {"persistent kernel": persistent_gru, **found}
    if importlib.util.find_spec("flashrnn"):
        found["FlashRNN"] = flash_rnn
    return found
