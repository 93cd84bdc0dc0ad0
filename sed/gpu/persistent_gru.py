"""Bi-GRU as one persistent kernel per layer: both directions and all time steps in a single launch.

A time step of a recurrent layer is a small matrix product, and cuDNN launches kernels for each. Here each block of
threads keeps a slice of the recurrent weights for the whole sequence and computes that slice of the states;
`persistent_gru.cu` says how blocks exchange states. This requires all blocks to be resident on the GPU at the same
time, which `plan` checks. Input frames that are repeated for upsampling are multiplied by the input weights only once.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import itertools
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError

SOURCE = Path(__file__).with_suffix(".cu")
# whether cuda-bindings is installed
BINDINGS = all(importlib.util.find_spec(name) for name in ("cuda", "cuda.bindings"))
GROUP = 16  # clips per block, the rows of a tensor-core product
MOST_WARPS = 8  # warps per block
MOST_HELD = 18  # fragments of weights, of 16 bytes, that fit into a thread's registers beside all else
RESERVED = 1024  # bytes of a multiprocessor's shared memory that CUDA reserves for each block
LEAST_SLICE = 16  # a block's units are a multiple of this: 8 and 24 units took longer than 16 and 32 on an H100
PAUSE = 900  # cycles between a block's last store and its next load; the best of 0 to 1500 for AST-SED on an H200
NARROW = 32  # units per block, and ...
SMALL = 256  # ... units per direction, up to which two blocks have registers on one multiprocessor


@dataclass(frozen=True)
class Plan:
    """Division of a layer into blocks."""

    units: int
    """units per direction"""
    slice: int
    """units per block"""
    warps: int
    """warps per block"""
    groups: int
    """most groups of 16 clips per launch"""
    resident: int
    """blocks that a multiprocessor has room for"""
    exact: bool = False
    """float32 accuracy, for inference only; else bf16"""

    @property
    def fragments(self) -> int:
        """Fragments of weights per thread, each the weights of a unit in eight consecutive columns."""
        # 3 * units * slice weights of a block, over the 8 of a fragment and the 32 threads of each warp; twice for the
        # bf16 values and rests of `exact`
        return 3 * self.units * self.slice // (256 * self.warps) * (2 if self.exact else 1)

    @property
    def held(self) -> int:
        """Fragments in registers; the others are in shared memory."""
        return min(self.fragments, MOST_HELD)

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block: fragments, and the products of all warps."""
        width = 3 * self.slice
        products = self.warps * GROUP * (width if width % 16 else width + 8) * 4  # `stride` in the kernel
        return (self.fragments - self.held) * 32 * self.warps * 16 + products

    @property
    def blocks(self) -> int:
        """Blocks per launch."""
        return self.units // self.slice * 2 * self.groups

    def launches(self, clips: int) -> int:
        """Return the number of launches for a batch."""
        return math.ceil(math.ceil(clips / GROUP) / self.groups)


def plan(
    units: int, clips: int, *, multiprocessors: int, shared_bytes: int, sharers: int, exact: bool = False
) -> Plan | None:
    """Divide a layer into as many blocks as can be resident at once, with as few launches as possible.

    Args:
        units: units per direction.
        clips: clips per batch.
        multiprocessors: multiprocessors of the GPU.
        shared_bytes: shared memory of a multiprocessor.
        sharers: processes that use the GPU at once, each with a kernel of its own.
        exact: whether to compute in float32, for inference.

    Returns:
        The division; None if there is none.
    """
    warps = max((w for w in range(1, MOST_WARPS + 1) if units % (32 * w) == 0), default=0)
    if not warps:
        return None
    groups = math.ceil(clips / GROUP)
    sizes = [size for size in range(LEAST_SLICE, units + 1, LEAST_SLICE) if units % size == 0]
    for launches, size, resident in itertools.product(range(1, groups + 1), sizes, (1, 2)):
        found = Plan(units, size, warps, math.ceil(groups / launches), resident, exact)
        if resident == 2 and (exact or units > SMALL or size > NARROW):
            continue
        fits = resident * (found.shared_bytes + RESERVED) <= shared_bytes
        if fits and found.blocks * sharers <= multiprocessors * resident:
            return found
    return None


def gpu_sharers() -> int:
    """Return how many processes share the GPU: SED_GPU_SHARERS, which utils/mps.sh sets, else 1."""
    text = os.environ.get("SED_GPU_SHARERS") or "1"
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise UserError(f"SED_GPU_SHARERS={text!r}: not a number of processes (unset it: utils/mps.sh sets it)")
    return int(text)


def plan_for(
    gru: nn.GRU, clips: int, device: torch.device, *, exact: bool = False, beside: Plan | None = None
) -> Plan | None:
    """Return how the persistent kernel can run these layers on this GPU, or None.

    It needs compute capability 9 (Hopper) or later. If several processes share the GPU (SED_GPU_SHARERS, set by
    utils/mps.sh), the blocks of all must be resident together; otherwise the processes can deadlock waiting for each
    other's blocks.

    Args:
        gru: the layers.
        clips: clips per batch.
        device: the device to run on.
        exact: whether to compute in float32, for inference.
        beside: division of another layer that may run at the same time in this process.

    Returns:
        The division into blocks; None if the kernel cannot run.
    """
    if not (gru.bidirectional and gru.bias and gru.dropout == 0 and gru.batch_first) or device.type != "cuda":
        return None
    if not BINDINGS:
        return None
    properties = torch.cuda.get_device_properties(device)
    if properties.major < 9:
        return None
    sharers = gpu_sharers()
    return plan(
        gru.hidden_size,
        clips,
        # a multiprocessor for each block of the other layer: where these have room for two, they may still spread
        multiprocessors=properties.multi_processor_count - (beside.blocks * sharers if beside else 0),
        shared_bytes=properties.shared_memory_per_multiprocessor,
        sharers=sharers,
        exact=exact,
    )


def checked(result: tuple[Any, ...]) -> Any:
    """Return the result of a call of cuda.bindings, whose first value is an error code; RuntimeError if it failed."""
    error, *values = result
    if error != 0:
        raise RuntimeError(f"CUDA: {error.name}")
    return values[0] if len(values) == 1 else values


@functools.cache
def compiled(plan: Plan, capability: str) -> bytes:
    """Compile the kernels for a plan and a compute capability such as 90, to machine code."""
    from cuda.bindings import nvrtc

    constants = {
        "H": plan.units, "U": plan.slice, "WARPS": plan.warps, "HELD": plan.held, "BLOCKS": plan.resident,
        "PAUSE": PAUSE,
    }  # fmt: skip
    options = [f"-D{name}={value}" for name, value in constants.items()]
    # ftz: subnormal values become 0, which is faster
    options += [f"--gpu-architecture=sm_{capability}", "--std=c++17", "--ftz=true"]
    program = checked(nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), SOURCE.name.encode(), 0, [], []))
    error, *_ = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    if error != 0:
        log = bytes(checked(nvrtc.nvrtcGetProgramLogSize(program)))
        checked(nvrtc.nvrtcGetProgramLog(program, log))
        raise RuntimeError(f"{SOURCE.name}: {log.decode(errors='replace')}")
    code = bytes(checked(nvrtc.nvrtcGetCUBINSize(program)))
    checked(nvrtc.nvrtcGetCUBIN(program, code))
    checked(nvrtc.nvrtcDestroyProgram(program))
    return code


@functools.cache
def kernel(name: str, plan: Plan, device: int) -> Any:
    """Load a kernel on a GPU.

    Args:
        name: name of the kernel.
        plan: the constants that it is compiled for.
        device: number of the GPU, whose context is the current one.

    Returns:
        CUDA's handle of the kernel.

    Raises:
        RuntimeError: fewer blocks fit on a multiprocessor than the plan expects.
    """
    from cuda.bindings import driver

    capability = "{}{}".format(*torch.cuda.get_device_capability(device))
    # groups=1: the code is the same for any number, and is compiled once
    found = checked(
        driver.cuModuleGetFunction(
            checked(driver.cuModuleLoadData(compiled(replace(plan, groups=1), capability))), name.encode()
        )
    )
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    checked(driver.cuFuncSetAttribute(found, attribute, plan.shared_bytes))
    resident = checked(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(found, 32 * plan.warps, plan.shared_bytes))
    if resident < plan.resident:
        raise RuntimeError(f"{name}: {resident} blocks fit on a multiprocessor, not {plan.resident}")
    return found


def launch(name: str, plan: Plan, arguments: Sequence[Tensor | int], clips: int, part: slice = slice(None)) -> None:
    """Launch a kernel on the current stream, once or more, until it has run for all clips.

    Args:
        name: name of the kernel.
        plan: how the layer is divided.
        arguments: its arguments but the last, the number of the first group of clips.
        clips: clips of the batch.
        part: which of the launches to make.
    """
    from cuda.bindings import driver

    device = next(a.device for a in arguments if isinstance(a, Tensor))
    values = [a.data_ptr() if isinstance(a, Tensor) else a for a in arguments]
    types = [ctypes.c_void_p if isinstance(a, Tensor) else ctypes.c_int for a in arguments]
    groups = math.ceil(clips / GROUP)
    with torch.cuda.device(device):
        function = kernel(name, plan, device.index)
        stream = torch.cuda.current_stream(device).cuda_stream
        for first in range(0, groups, plan.groups)[part]:
            grid = (plan.units // plan.slice, 2, min(plan.groups, groups - first))
            given = ((*values, first), (*types, ctypes.c_int))
            checked(driver.cuLaunchKernel(function, *grid, 32 * plan.warps, 1, 1, plan.shared_bytes, stream, given, 0))


def unwritten(*shape: int, device: torch.device) -> Tensor:
    """Return a bf16 tensor of the NaN (all bits set) that the kernel takes for values not written yet.

    The last size must be even.
    """
    *sizes, last = shape
    return torch.full((*sizes, last // 2), -1, dtype=torch.int32, device=device).view(torch.bfloat16)


def split(x: Tensor) -> Tensor:
    """Split float32 values into bf16 values and bf16 rests: (...) to (2, ...)."""
    value = x.to(torch.bfloat16)
    return torch.stack([value, (x - value.float()).to(torch.bfloat16)])


def joined(words: Tensor) -> Tensor:
    """Return the sums of the kernel's pairs of bf16 values, int32 words (...), in float32."""
    return (words << 16).view(torch.float32) + (words & -65536).view(torch.float32)


@dataclass(frozen=True)
class LayerWeights:
    """A layer's weights as the kernel takes them, of both directions; for `exact_gru` in float32."""

    w_ih: Tensor
    """(6 units, dim)"""
    b_ih: Tensor
    """(6 units,)"""
    w_hh: Tensor
    """(2, 3 units, units), or (2, 2, 3 units, units) for `exact_gru`: bf16 values, and rests"""
    b_hh: Tensor
    """(2, 3 units)"""


def weights_of(gru: nn.GRU, *, exact: bool) -> list[LayerWeights]:
    """Return the weights of each layer of a bidirectional GRU, for `exact_gru` or for `bi_gru`."""
    layers = []
    for layer in range(gru.num_layers):
        w_ih, b_ih, w_hh, b_hh = (
            torch.stack([getattr(gru, f"{name}_l{layer}{direction}") for direction in ("", "_reverse")])
            for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        )
        dtype = torch.float32 if exact else torch.bfloat16
        inputs = w_ih.flatten(0, 1).to(dtype)
        layers.append(
            LayerWeights(
                # A parameter, so that `split_products.SplitProducts` keeps its parts.
                w_ih=nn.Parameter(inputs, requires_grad=False) if exact else inputs,
                b_ih=b_ih.flatten().to(dtype),
                w_hh=split(w_hh.float()) if exact else w_hh.to(dtype),
                b_hh=b_hh.to(dtype),
            )
        )
    return layers


@dataclass(frozen=True)
class Last:
    """Last launches of a GRU's forward pass, which may run at the same time as another GRU."""

    plan: Plan
    """division of the last layer, from `plan_for` with `beside`"""
    launches: int
    """number of these launches, of that layer"""
    between: Callable[[], None]
    """called once, before them; a caller notes there that the other GRU may begin (`sed.training.gpu.graphs`)"""


@functools.cache
def second_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Return a stream for what runs at the same time as the kernel; None on a CPU.

    Its priority is the lowest, so that blocks of the kernel go first if the current stream's is higher.
    """
    return torch.cuda.Stream(device, priority=0) if device.type == "cuda" else None


def run_layer(
    x: Tensor, w: LayerWeights, *, repeat: int, plan: Plan, save: bool = False, last: Last | None = None
) -> tuple[Tensor, Tensor]:
    """Run one bidirectional layer.

    Args:
        x: input frames (inputs, clips, dim), bf16.
        w: its weights.
        repeat: output frames per input frame.
        plan: how the layer is divided.
        save: whether to save gates for `gate_gradients`.
        last: for the last layer: its launches that may run at the same time as another GRU; None: none.

    Returns:
        States (inputs * repeat, clips, 2 units); gates r, z, n and the recurrent contribution to n
        (inputs * repeat, clips, 8 units), (1,) if they are not saved.
    """
    inputs, clips, dim = x.shape
    frames, units = inputs * repeat, plan.units
    gi = torch.addmm(w.b_ih, x.reshape(-1, dim), w.w_ih.t())
    out = unwritten(frames, clips, 2 * units, device=x.device)
    saved = x.new_empty((frames, clips, 8 * units) if save else (1,))
    arguments = (gi, w.w_hh, w.b_hh, out, saved, frames, clips, repeat, int(save))
    if last is None:
        launch("gru_forward", plan, arguments, clips)
    else:
        launch("gru_forward", last.plan, arguments, clips, slice(None, -last.launches))
        last.between()
        launch("gru_forward", last.plan, arguments, clips, slice(-last.launches, None))
    return out, saved


def gate_gradients(grad: Tensor, w_hh: Tensor, out: Tensor, saved: Tensor, *, plan: Plan) -> tuple[Tensor, Tensor]:
    """Compute the gradients of a layer's gates.

    Args:
        grad: gradient of the states (frames, clips, 2 units).
        w_hh: recurrent weights (2, 3 units, units).
        out: states, from `run_layer`.
        saved: gates, from `run_layer`.
        plan: how the layer is divided.

    Returns:
        Gradients of the gates' inputs and of their recurrent contributions, each (frames, clips, 6 units).
    """
    frames, clips, width = out.shape
    dgh = unwritten(frames, clips, 3 * width, device=out.device)
    dgi = torch.empty_like(dgh)
    arguments = (grad.contiguous(), w_hh.transpose(1, 2).contiguous(), out, saved, dgi, dgh, frames, clips)
    launch("gru_backward", plan, arguments, clips)
    return dgi, dgh


def weight_gradients(x: Tensor, out: Tensor, dgi: Tensor, dgh: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of a layer's weights.

    Args:
        x: input frames (inputs, clips, dim).
        out: states (frames, clips, 2 units).
        dgi: gradients of the gates' inputs, of repeated frames summed (inputs * clips, 6 units).
        dgh: gradients of their recurrent contributions (frames, clips, 6 units).

    Returns:
        Gradients of the input weights, input biases, recurrent weights and recurrent biases.
    """
    frames, clips, width = out.shape
    units = width // 2
    states = dgh.view(frames, clips, 2, 3 * units)
    b_hh = states.sum((0, 1), dtype=torch.float32).to(out.dtype)
    # Gate gradients with the previous state: that of the frame before (forward direction) or after (backward).
    pairs = (
        (states[1:, :, 0], out[:-1, :, :units]),
        (states[:-1, :, 1], out[1:, :, units:]),
    )
    w_hh = torch.stack([g.flatten(0, 1).t() @ h.flatten(0, 1) for g, h in pairs])
    b_ih = dgi.sum(0, dtype=torch.float32).to(out.dtype)
    return dgi.t() @ x.reshape(-1, x.shape[2]), b_ih, w_hh, b_hh


class _Layers(torch.autograd.Function):
    """Bidirectional layers, with time as the first dimension and `repeat` output frames per input frame.

    In the backward pass the weights' gradients of a layer are computed at the same time as the kernel of the layer
    before, which leaves some multiprocessors idle.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, repeat: int, plan: Plan, last: Last | None, *weights: Tensor) -> Tensor:
        """Run the layers.

        Args:
            ctx: context of autograd.
            x: input frames (inputs, clips, dim).
            repeat: output frames per input frame of the first layer.
            plan: how the layers are divided.
            last: see `bi_gru`.
            weights: the fields of each layer's `LayerWeights`.

        Returns:
            States (inputs * repeat, clips, 2 units).
        """
        layers = [LayerWeights(*weights[i : i + 4]) for i in range(0, len(weights), 4)]
        kept = [x]
        for i, w in enumerate(layers):
            x, saved = run_layer(
                x,
                w,
                repeat=1 if i else repeat,
                plan=plan,
                save=any(ctx.needs_input_grad),
                last=last if i == len(layers) - 1 else None,
            )
            kept += [w.w_ih, w.w_hh, x, saved]
        ctx.save_for_backward(*kept)
        ctx.repeat, ctx.plan = repeat, plan
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        first, *kept = ctx.saved_tensors
        layers = [kept[i : i + 4] for i in range(0, len(kept), 4)]
        inputs = [first, *(out for _, _, out, _ in layers[:-1])]
        side = second_stream(first.device)
        found: list[Tensor] = []
        above: list[tuple[Tensor, ...]] = []  # arguments of `weight_gradients` of the layers so far
        for i in reversed(range(len(layers))):
            w_ih, w_hh, out, saved = layers[i]
            ready = torch.cuda.current_stream(first.device).record_event() if side else None
            dgi, dgh = gate_gradients(grad, w_hh, out, saved, plan=ctx.plan)
            if above:
                if side and ready:
                    side.wait_event(ready)
                with torch.cuda.stream(side):
                    found = [*weight_gradients(*above[-1]), *found]
            if i == 0 and ctx.repeat > 1:
                dgi = dgi.view(-1, ctx.repeat, *dgi.shape[1:]).sum(1)
            flat = dgi.view(-1, dgi.shape[2])
            if i or ctx.needs_input_grad[0]:
                grad = (flat @ w_ih).view_as(inputs[i])
            above.append((inputs[i], out, flat, dgh))
        found = [*weight_gradients(*above[-1]), *found]
        if side:
            torch.cuda.current_stream(first.device).wait_stream(side)
        # All of `above` is kept until here: memory that is freed on this stream is used again before the other one
        # has read it.
        del above
        return (grad if ctx.needs_input_grad[0] else None), None, None, None, *found


def exact_gru(x: Tensor, weights: Sequence[LayerWeights], *, repeat: int, plan: Plan) -> Tensor:
    """Run a bidirectional GRU by the persistent kernel in float32, without gradients.

    Products of states and weights have a relative error of 2^-16: both are split into a bf16 value and a bf16 rest, and
    the product of the rests is left out.

    Args:
        x: input (clips, inputs, dim).
        weights: those of the layers, from `weights_of` with `exact`.
        repeat: how many times each input frame is repeated.
        plan: how the layers are divided, from `plan_for` with `exact`.

    Returns:
        States (clips, inputs * repeat, 2 units) in float32.
    """
    x = x.transpose(0, 1).float()
    for w in weights:
        inputs, clips, dim = x.shape
        frames = inputs * repeat
        # as three TF32 products if the caller has entered `split_products.SplitProducts`
        gi = nn.functional.linear(x.reshape(-1, dim), w.w_ih, w.b_ih)
        words = torch.full((frames, clips, 2 * plan.units), -1, dtype=torch.int32, device=x.device)
        launch("gru_forward_exact", plan, (gi, w.w_hh, w.b_hh, words, frames, clips, repeat), clips)
        x, repeat = joined(words), 1
    return x.transpose(0, 1)


def bi_gru(
    x: Tensor,
    weights: Sequence[LayerWeights],
    *,
    repeat: int,
    plan: Plan,
    last: Last | None = None,
) -> Tensor:
    """Run a bidirectional GRU by the persistent kernel.

    Args:
        x: input (clips, inputs, dim).
        weights: those of the layers, from `weights_of`.
        repeat: how many times each input frame is repeated.
        plan: how the layers are divided, from `plan_for`.
        last: launches of the last layer that may run at the same time as another GRU; None: none.

    Returns:
        States (clips, inputs * repeat, 2 units) in bf16.
    """
    fields = [part for w in weights for part in (w.w_ih, w.b_ih, w.w_hh, w.b_hh)]
    return _Layers.apply(x.transpose(0, 1).to(torch.bfloat16), repeat, plan, last, *fields).transpose(0, 1)
