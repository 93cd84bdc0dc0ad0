"""Flat parameters: a few long tensors for the optimiser, clipping, all-reduce and the teacher's average.

On a model of two hundred tensors, each of these operations launches two hundred small kernels (or costs as much Python
time on a CPU). With flat parameters it launches one per group of equal learning rate and weight decay. Letters such as
(L) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn

SECTION = "optimiser"
OPTIONS = {
    "weight_decay": {
        "default": 1e-4,
        "help": "AdamW's weight decay, except for norms, biases, tokens and position tables (L)",
        "least": 0,
    },
    "beta1": {"default": 0.9, "help": "AdamW's decay of the mean gradient", "least": 0, "most": 0.9999},
    "beta2": {"default": 0.999, "help": "AdamW's decay of the mean squared gradient", "least": 0, "most": 0.999999},
    "clip_norm": {"default": 5.0, "help": "largest norm of the gradient; 0: no clipping (I)", "least": 0},
}


def decayed(model: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay applies to.

    These are matrices and convolution kernels. Norms and biases, which are vectors, have no weight decay, nor have the
    parameters that their module lists in `no_weight_decay` (such as tokens and position tables).
    """
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim >= 2 and name not in getattr(module, "no_weight_decay", ())
    }


class HasParameters(Protocol):
    """Protocol of an object with the parameters of a module, such as an `Encoder`, which is itself a protocol."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...


def parameter_groups(
    model: nn.Module, encoder: HasParameters, *, by_layer: bool = False
) -> dict[str, dict[str, nn.Parameter]]:
    """Return the trained parameters by group (`encoder`, `encoder_plain`, `head`, `head_plain`), then by name.

    Args:
        model: the whole model.
        encoder: the part of it with a separate learning rate.
        by_layer: whether each layer of the encoder is a group, such as `encoder_003` with three blocks above it; see
            `layers_above`.

    Returns:
        The groups, without empty ones; those that end in `_plain` have no weight decay.

    Raises:
        ValueError: `by_layer` is set and the encoder has no blocks.
    """
    inside, with_decay = {id(p) for p in encoder.parameters()}, decayed(model)
    above = layers_above(encoder) if by_layer else {}
    groups: dict[str, dict[str, nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = "encoder" if id(parameter) in inside else "head"
            group += f"_{above[id(parameter)]:03}" if id(parameter) in above else ""
            groups.setdefault(group + ("" if name in with_decay else "_plain"), {})[name] = parameter
    return dict(sorted(groups.items()))


def layers_above(encoder: HasParameters) -> dict[int, int]:
    """Return {id(parameter): number of blocks above it} of an encoder's parameters; the last block is the top one.

    The number is 0 for the last block and for the parameters registered after the blocks, and the number of all blocks
    for the parameters registered before them.

    Raises:
        ValueError: the encoder has no `blocks`.
    """
    blocks = getattr(encoder, "blocks", None)
    if not isinstance(blocks, nn.ModuleList) or not len(blocks):
        raise ValueError("layer_decay needs an encoder made of blocks (a transformer): this one has none")
    of_blocks = {id(p): len(blocks) - 1 - number for number, block in enumerate(blocks) for p in block.parameters()}
    found: dict[int, int] = {}
    above = len(blocks)
    for parameter in encoder.parameters():
        if id(parameter) in of_blocks:
            above = 0
        found[id(parameter)] = of_blocks.get(id(parameter), above)
    return found


def rate_factor(group: str, layer_decay: float) -> float:
    """Return the factor of a group's learning rate: `layer_decay` to the power of the number of blocks above it."""
    layer = group.removesuffix("_plain").removeprefix("encoder_")
    return layer_decay ** int(layer) if layer.isdecimal() else 1.0


class FlatParameters:
    """Parameters of each group as views of one flat tensor, and their gradients as views of another.

    `flat` are the flat tensors by group, `names` the names of their parameters, in order.
    """

    def __init__(self, groups: dict[str, dict[str, nn.Parameter]], *, gradients: bool) -> None:
        """Move the parameters to flat memory; `gradients`: allocate their gradients as well."""
        self.names = {group: list(named) for group, named in groups.items()}
        self._parameters = {group: list(named.values()) for group, named in groups.items()}
        self.flat: dict[str, torch.Tensor] = {}
        self.learning = set(groups)
        """groups that are not frozen"""
        # Of each frozen group: its tensors and the gradients that `thaw` restores.
        self._frozen: dict[str, list[tuple[torch.Tensor, torch.Tensor | None]]] = {}
        for group, parameters in self._parameters.items():
            flat = torch.cat([p.detach().reshape(-1) for p in parameters])
            grad = torch.zeros_like(flat) if gradients else None
            at = 0
            for p in parameters:
                p.data = flat[at : at + p.numel()].view_as(p)
                if grad is not None:
                    p.grad = grad[at : at + p.numel()].view_as(p)
                at += p.numel()
            if gradients:
                flat = nn.Parameter(flat)
                flat.grad = grad
            self.flat[group] = flat

    @property
    def gradients(self) -> list[torch.Tensor]:
        """Flat gradients of the groups that have some."""
        return [flat.grad for flat in self.flat.values() if flat.grad is not None]

    def freeze(self, group: str) -> None:
        """Exclude a group, until `thaw`, from gradients, their norm, the optimiser's steps and the moving average."""
        if group in self.learning:
            self.learning.remove(group)
            tensors = [*self._parameters[group], self.flat[group]]
            self._frozen[group] = [(tensor, tensor.grad) for tensor in tensors]
            for tensor in tensors:
                tensor.grad = None
                tensor.requires_grad_(False)

    def thaw(self, group: str) -> None:
        """Let a frozen group require gradients again, in the same memory."""
        for tensor, gradient in self._frozen.pop(group, []):
            tensor.requires_grad_(True)
            tensor.grad = gradient
        self.learning.add(group)

    def zero_gradients(self) -> None:
        """Set all gradients to zero, keeping their memory."""
        for grad in self.gradients:
            grad.zero_()

    def clip_gradients(self, limit: float) -> torch.Tensor:
        """Scale the gradients to a norm of at most `limit` (0: do not); return the norm () before, on the device."""
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in self.gradients]))
        if limit > 0:
            factor = (limit / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch.nn.utils.clip_grad_norm_
            for grad in self.gradients:
                grad.mul_(factor)
        return norm


def build_optimiser(
    flat: FlatParameters,
    *,
    weight_decay: float,
    betas: tuple[float, float],
    device: torch.device,
    fused: bool = True,
    layer_decay: float = 1.0,
) -> torch.optim.AdamW:
    """Build AdamW over flat parameters.

    On a GPU its learning rates are tensors on the device, so that a CUDA graph can contain the step.

    Args:
        flat: the parameters.
        weight_decay: weight decay of the groups that are not plain.
        betas: decays of the mean gradient and of the mean squared gradient.
        device: device of the parameters.
        fused: whether AdamW updates a group in a single kernel.
        layer_decay: see `rate_factor`; the optimiser's groups have their factor under the key `rate_factor`.

    Returns:
        The optimiser, with learning rates 0 and its state allocated.
    """
    on_gpu = device.type == "cuda"
    groups = [
        {
            "params": [tensor],
            "weight_decay": 0.0 if name.endswith("_plain") else weight_decay,
            "lr": torch.zeros((), device=device) if on_gpu else 0.0,
            "name": name,
            "rate_factor": rate_factor(name, layer_decay),
        }
        for name, tensor in flat.flat.items()
    ]
    if fused:
        optimiser = torch.optim.AdamW(groups, betas=betas, fused=True, capturable=on_gpu)
    else:
        optimiser = torch.optim.AdamW(groups, betas=betas, foreach=False, capturable=on_gpu)
    for tensor in flat.flat.values():  # allocated now: a graph cannot be captured while the first step allocates it
        optimiser.state[tensor] = {
            "step": torch.zeros((), device=device if fused or on_gpu else "cpu"),
            "exp_avg": torch.zeros_like(tensor),
            "exp_avg_sq": torch.zeros_like(tensor),
        }
    return optimiser


def optimiser_state(optimiser: torch.optim.AdamW) -> dict[str, Any]:
    """Return the optimiser's state by group, for resuming: number of steps and both moments."""
    state: dict[str, Any] = {}
    for group in optimiser.param_groups:
        of_group = optimiser.state.get(group["params"][0], {})
        state[group["name"]] = {key: value.detach() for key, value in of_group.items()}
    return state


def load_optimiser_state(optimiser: torch.optim.AdamW, state: dict[str, Any]) -> None:
    """Restore what `optimiser_state` returned, on the device of the parameters.

    Raises:
        ValueError: the groups or their sizes differ.
    """
    names = [group["name"] for group in optimiser.param_groups]
    if sorted(names) != sorted(state):
        raise ValueError(f"parameter groups {sorted(state)} instead of {sorted(names)}")
    for group in optimiser.param_groups:
        flat = group["params"][0]
        saved = state[group["name"]]
        if not saved:
            continue
        if saved["exp_avg"].shape != flat.shape:
            raise ValueError(f"{saved['exp_avg'].numel()} parameters in group {group['name']}, not {flat.numel()}")
        step_device = flat.device if group["fused"] or group["capturable"] else torch.device("cpu")
        optimiser.state[flat] = {
            key: value.to(step_device if key == "step" else flat.device, torch.float32).clone()
            for key, value in saved.items()
        }
