"""The recurrent steps of a GRU on a CPU, compiled so that two directions run in parallel without Python's lock."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor


def steps(
    gates: Tensor, new: Tensor, weight: Tensor, bias: Tensor, repeat: int, backward: bool, packed: bool,
    none: list[int | float | complex | None],
) -> Tensor:  # fmt: skip
    """Compute the states of a GRU.

    Args:
        gates: (batch, frames, 2 * units), the input's contribution to the reset and update gates, before the sigmoid.
        new: (batch, frames, units), the input's contribution to the candidate state, before the tanh.
        weight: recurrent weights (3 * units, units) in the order of torch.nn.GRU, or these packed by oneDNN.
        bias: recurrent bias (3 * units,).
        repeat: steps per input frame.
        backward: run from the last step to the first.
        packed: whether `weight` is packed.
        none: an empty list; TorchScript cannot infer the type of a literal.

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
        if packed:
            own = torch.ops.mkldnn._linear_pointwise(state.to(bias.dtype), weight, bias, "none", none, "").to(new.dtype)
        else:
            own = torch.nn.functional.linear(state.to(bias.dtype), weight, bias).to(new.dtype)
        gate = own[:, : 2 * units].add_(given[frame // repeat]).sigmoid_()
        candidate = torch.addcmul(given_new[frame // repeat], gate[:, :units], own[:, 2 * units :]).tanh_()
        state = torch.lerp(candidate, state, gate[:, units:])
        states[frame] = state
    return torch.stack(states, 1)


@functools.cache
def compiled() -> Callable[..., Tensor]:
    """Return `steps` in TorchScript, which runs without Python's lock; plain `steps` if torch lacks TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torch.compile, which wants a C++ compiler
        try:
            return torch.jit.script(steps)
        except (AttributeError, RuntimeError, OSError):
            return steps
