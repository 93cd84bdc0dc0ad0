"""The recurrent steps of a GRU on a CPU, compiled so that two directions run in parallel without Python's lock."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor


def steps(
    gates: Tensor, new: Tensor, weight: Tensor, bias: Tensor, repeat: int, backward: bool, packed: bool,
    scalars: list[int | float | complex | None],
) -> Tensor:  # fmt: skip
    """Compute the states of a GRU.

    Args:
        gates: (batch, frames, 2 * units), the input's contribution to the reset and update gates, before the sigmoid.
        new: (batch, frames, units), the input's contribution to the candidate state, before the tanh.
        weight: recurrent weights (3 * units, units) in the order of torch.nn.GRU, or these packed by oneDNN.
        bias: recurrent bias (3 * units,). It and `weight` may be bfloat16, the precision of the matrix product; the
            state keeps the dtype of `new`.
        repeat: steps per input frame.
        backward: run from the last step to the first.
        packed: whether `weight` is packed.
        scalars: []: oneDNN's activation, which is none, has no parameters. An argument, since TorchScript takes a
            literal [] for a list of tensors.

    Returns:
        States (batch, frames * repeat, units).
    """
    units = new.shape[2]
    given, given_new = gates.unbind(1), new.unbind(1)
    count = len(given) * repeat
    state = torch.zeros([new.shape[0], units], dtype=new.dtype)
    states = [state] * count
    for step in range(count):
        frame = count - 1 - step if backward else step
        rounded = state.to(bias.dtype)
        if packed:
            own = torch.ops.mkldnn._linear_pointwise(rounded, weight, bias, "none", scalars, "").to(new.dtype)
        else:
            own = torch.nn.functional.linear(rounded, weight, bias).to(new.dtype)
        gate = own[:, : 2 * units].add_(given[frame // repeat]).sigmoid_()
        candidate = torch.addcmul(given_new[frame // repeat], gate[:, :units], own[:, 2 * units :]).tanh_()
        state = torch.lerp(candidate, state, gate[:, units:])
        states[frame] = state
    return torch.stack(states, 1)


@functools.cache
def compiled() -> Callable[..., Tensor]:
    """Return `steps` in TorchScript, which runs without Python's lock.

    Return plain `steps`, which is slower, if torch lacks TorchScript or cannot compile it, as without the source file.
    Call this in one thread only: `warnings.catch_warnings` is not thread-safe.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torch.compile, which wants a C++ compiler
        try:
            return torch.jit.script(steps)
        except (AttributeError, RuntimeError, OSError):
            return steps
