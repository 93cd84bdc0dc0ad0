"""Bi-GRU as one persistent kernel per layer: both directions and all time steps in a single launch.

A time step of a recurrent layer is a small matrix product, and cuDNN launches kernels for each. Here each program (a
Triton program, which runs on one multiprocessor) keeps a slice of the recurrent weights for the whole sequence and
computes that slice of the state. After each time step, the programs of a direction store their slices and synchronise
at a barrier, a counter in global memory. This requires all programs to be resident on the GPU at the same time, which
`fits` checks. Input frames that are repeated for upsampling are multiplied by the input weights only once.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

UNITS = 16  # state units per program, the smallest tile of a tensor-core product
MOST_CLIPS = 64  # largest batch, which is the larger of the two tile sizes in clips (`_rows`)
TWICE = 256  # largest hidden size at which two programs have registers and shared memory on one multiprocessor
WARPS = 4  # warps per program; this and the next two values were chosen on an H200: 8 warps take twice as long
STRETCH = 128  # largest number of gate units per block of the product in the backward pass
STAGES = 4  # software pipeline stages of its loads


@triton.jit
def _meet(counter, target):  # type: ignore[no-untyped-def]
    # Grid-wide barrier: release after all stores of the program, spin until every program has arrived.
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release", scope="gpu")
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < target:
        pass
    tl.debug_barrier()


@triton.jit
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _load_weights(p, k, H: tl.constexpr):  # type: ignore[no-untyped-def]
    """Load the recurrent weights of the three gates, as tiles (k, unit), where k is the unit of the previous state."""
    p += k[:, None]
    return tl.load(p), tl.load(p + H * H), tl.load(p + 2 * H * H)


@triton.jit
def _load_gates(p, H: tl.constexpr, mask):  # type: ignore[no-untyped-def]
    """Load the input's contributions to the three gates."""
    r = tl.load(p, mask=mask, other=0.0).to(tl.float32)
    z = tl.load(p + H, mask=mask, other=0.0).to(tl.float32)
    return r, z, tl.load(p + 2 * H, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _store_gates(p, r, z, n, H: tl.constexpr, mask):  # type: ignore[no-untyped-def]
    """Store the gradients of the three gates."""
    kind = p.dtype.element_ty
    tl.store(p, r.to(kind), mask=mask)
    tl.store(p + H, z.to(kind), mask=mask)
    tl.store(p + 2 * H, n.to(kind), mask=mask)


# Shapes of the arguments of both kernels, with H units per direction and the gates r, z, n of torch.nn.GRU:
# gi (input frames, clips, directions, gates, H) contributions of the input; w (directions, gates, H, H) recurrent
# weights; bias (directions, gates, H); out (frames, clips, directions, H) states; saved (4, frames, clips, directions,
# H) r, z, n and the recurrent contribution to n; dgi, dgh (frames, clips, directions, gates, H) gradients of the
# input's and the recurrent contributions. A program computes BJ units of one direction for all clips: `row` are the
# clips and `col` the units of its tiles. BB is the number of clips, padded (`_rows`), and `live` where there is a clip;
# K0 and K1 are the two parts into which `_tiles` splits H. Offsets: 2 H values per frame and clip for both directions,
# 6 H for their gates. In `_backward`, `carry` is the gradient of a state through the states that depend on it.


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    gi, w, bias, out, saved, counters, frames, clips, REPEAT: tl.constexpr, H: tl.constexpr, K0: tl.constexpr,
    K1: tl.constexpr, BB: tl.constexpr, BJ: tl.constexpr, SAVE: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(0)
    direction = tl.program_id(1)
    parts = tl.num_programs(0)
    counter = counters + direction * 32
    row = tl.arange(0, BB)[:, None]
    col = part * BJ + tl.arange(0, BJ)[None, :]
    live = row < clips
    k0 = tl.arange(0, K0)
    # Recurrent weights (direction, gate, unit, k), as (k, unit) tiles that are kept for the whole sequence.
    wp = w + direction * 3 * H * H + col * H
    wr0, wz0, wn0 = _load_weights(wp, k0, H)
    if K1 > 0:
        k1 = K0 + tl.arange(0, K1)
        wr1, wz1, wn1 = _load_weights(wp, k1, H)
    bp = bias + direction * 3 * H + col
    br, bz, bn = tl.load(bp).to(tl.float32), tl.load(bp + H).to(tl.float32), tl.load(bp + 2 * H).to(tl.float32)
    h = tl.zeros((BB, BJ), tl.float32)
    t = 0 if direction == 0 else frames - 1
    gp = gi + ((t // REPEAT) * clips + row).to(tl.int64) * (6 * H) + direction * 3 * H + col
    ir, iz, in_ = _load_gates(gp, H, live)
    for s in range(frames):
        t = s if direction == 0 else frames - 1 - s
        hr = tl.zeros((BB, BJ), tl.float32) + br
        hz = tl.zeros((BB, BJ), tl.float32) + bz
        hn = tl.zeros((BB, BJ), tl.float32) + bn
        if s > 0:
            before = t - 1 if direction == 0 else t + 1
            hp = out + (before * clips + row).to(tl.int64) * (2 * H) + direction * H
            a0 = tl.load(hp + k0[None, :], mask=live, other=0.0, cache_modifier=".cg")
            hr = tl.dot(a0, wr0, hr, input_precision="ieee")
            hz = tl.dot(a0, wz0, hz, input_precision="ieee")
            hn = tl.dot(a0, wn0, hn, input_precision="ieee")
            if K1 > 0:
                a1 = tl.load(hp + k1[None, :], mask=live, other=0.0, cache_modifier=".cg")
                hr = tl.dot(a1, wr1, hr, input_precision="ieee")
                hz = tl.dot(a1, wz1, hz, input_precision="ieee")
                hn = tl.dot(a1, wn1, hn, input_precision="ieee")
        r = _sigmoid(ir + hr)
        z = _sigmoid(iz + hz)
        n = 2.0 * _sigmoid(2.0 * (in_ + r * hn)) - 1.0  # tanh
        h = (1.0 - z) * n + z * h
        at = (t * clips + row).to(tl.int64) * (2 * H) + direction * H + col
        tl.store(out + at, h.to(out.dtype.element_ty), mask=live)
        if SAVE:
            size = (frames * clips).to(tl.int64) * (2 * H)
            tl.store(saved + at, r.to(saved.dtype.element_ty), mask=live)
            tl.store(saved + size + at, z.to(saved.dtype.element_ty), mask=live)
            tl.store(saved + 2 * size + at, n.to(saved.dtype.element_ty), mask=live)
            tl.store(saved + 3 * size + at, hn.to(saved.dtype.element_ty), mask=live)
        # Load the next time step's inputs before the barrier, so that they arrive during the wait.
        t = min(s + 1, frames - 1) if direction == 0 else max(frames - 2 - s, 0)
        gp = gi + ((t // REPEAT) * clips + row).to(tl.int64) * (6 * H) + direction * 3 * H + col
        ir, iz, in_ = _load_gates(gp, H, live)
        _meet(counter, parts * (s + 1))


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    grad, w, out, saved, dgi, dgh, counters, frames, clips, H: tl.constexpr, BK: tl.constexpr, BB: tl.constexpr,
    BJ: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(0)
    direction = tl.program_id(1)
    parts = tl.num_programs(0)
    counter = counters + direction * 32
    row = tl.arange(0, BB)[:, None]
    col = part * BJ + tl.arange(0, BJ)[None, :]
    live = row < clips
    carry = tl.zeros((BB, BJ), tl.float32)
    size = (frames * clips).to(tl.int64) * (2 * H)
    t = frames - 1 if direction == 0 else 0
    before = t - 1 if direction == 0 else t + 1
    at = (t * clips + row).to(tl.int64) * (2 * H) + direction * H + col
    g = tl.load(grad + at, mask=live, other=0.0)
    # Not a helper function: with one, this kernel is 5 % slower at 12 clips (H200).
    r_ = tl.load(saved + at, mask=live, other=0.0)
    z_ = tl.load(saved + size + at, mask=live, other=0.0)
    n_ = tl.load(saved + 2 * size + at, mask=live, other=0.0)
    hn_ = tl.load(saved + 3 * size + at, mask=live, other=0.0)
    hp = (before * clips + row).to(tl.int64) * (2 * H) + direction * H + col
    h_ = tl.load(out + hp, mask=live & (frames > 1), other=0.0)
    for s in range(frames):
        t = frames - 1 - s if direction == 0 else s
        dh = g.to(tl.float32) + carry
        r, z, n = r_.to(tl.float32), z_.to(tl.float32), n_.to(tl.float32)
        hn, h = hn_.to(tl.float32), h_.to(tl.float32)
        dz = dh * (h - n) * z * (1.0 - z)
        dn = dh * (1.0 - z) * (1.0 - n * n)
        dr = dn * hn * r * (1.0 - r)
        gp = (t * clips + row).to(tl.int64) * (6 * H) + direction * 3 * H + col
        _store_gates(dgh + gp, dr, dz, dn * r, H, live)
        _store_gates(dgi + gp, dr, dz, dn, H, live)
        # Load the next time step's values before the barrier, so that they arrive during the wait.
        more = live & (s + 1 < frames)
        next_ = t - 1 if direction == 0 else t + 1
        before = t - 2 if direction == 0 else t + 2
        at = (next_ * clips + row).to(tl.int64) * (2 * H) + direction * H + col
        g = tl.load(grad + at, mask=more, other=0.0)
        r_ = tl.load(saved + at, mask=more, other=0.0)
        z_ = tl.load(saved + size + at, mask=more, other=0.0)
        n_ = tl.load(saved + 2 * size + at, mask=more, other=0.0)
        hn_ = tl.load(saved + 3 * size + at, mask=more, other=0.0)
        hp = (before * clips + row).to(tl.int64) * (2 * H) + direction * H + col
        h_ = tl.load(out + hp, mask=live & (s + 2 < frames), other=0.0)
        _meet(counter, parts * (s + 1))
        carry = dh * z
        # Multiply all programs' gate gradients of this time step by the recurrent weights, in blocks of gate units.
        ap = dgh + (t * clips + row).to(tl.int64) * (6 * H) + direction * 3 * H + tl.arange(0, BK)[None, :]
        wp = w + direction * 3 * H * H + tl.arange(0, BK)[:, None] * H + col
        for k in tl.range(0, 3 * H, BK, num_stages=STAGES):
            a = tl.load(ap + k, mask=live, other=0.0, cache_modifier=".cg")
            b = tl.load(wp + k * H)
            carry = tl.dot(a, b, carry, input_precision="ieee")


def _tiles(units: int) -> tuple[int, int] | None:
    """Split the hidden size into one or two powers of two of at least 16, the larger first (one: then 0), else None."""
    large = 1 << (units.bit_length() - 1)
    small = units - large
    if large < 16 or (small and (small < 16 or small & (small - 1))):
        return None
    return large, small


def fits(gru: nn.GRU, clips: int, device: torch.device) -> bool:
    """Return whether the persistent kernel can run these layers on this GPU, with all programs resident at once.

    It needs compute capability 9 (Hopper) or later. If several processes share the GPU (SED_GPU_SHARERS, set by
    utils/mps.sh), the programs of all must be resident together; otherwise the processes can deadlock waiting for each
    other's programs.

    Args:
        gru: the layers.
        clips: clips per batch.
        device: the device to run on.

    Returns:
        True if the kernel can run.
    """
    if not (gru.bidirectional and gru.bias and gru.dropout == 0 and gru.batch_first and gru.hidden_size % UNITS == 0):
        return False
    if _tiles(gru.hidden_size) is None or clips > MOST_CLIPS or device.type != "cuda":
        return False
    properties = torch.cuda.get_device_properties(device)
    programs, sharers = 2 * gru.hidden_size // UNITS, int(os.environ.get("SED_GPU_SHARERS") or 1)
    room = properties.multi_processor_count * (2 if gru.hidden_size <= TWICE else 1)
    return properties.major >= 9 and programs <= properties.multi_processor_count and programs * sharers <= room


class _Layer(torch.autograd.Function):
    """One bidirectional layer, with time as the first dimension and `repeat` output frames per input frame."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, repeat: int) -> Tensor:
        """Run the layer.

        Args:
            ctx: context of autograd.
            x: input frames (inputs, clips, dim).
            w_ih: input weights (6 units, dim).
            w_hh: recurrent weights (2, 3 units, units).
            b_ih: input biases (6 units,).
            b_hh: recurrent biases (2, 3 units).
            repeat: output frames per input frame.

        Returns:
            States (inputs * repeat, clips, 2 units).
        """
        inputs, clips, dim = x.shape
        units = w_hh.shape[2]
        frames = inputs * repeat
        gi = torch.addmm(b_ih, x.reshape(-1, dim), w_ih.t())
        out = x.new_empty(frames, clips, 2 * units)
        save = any(ctx.needs_input_grad)
        saved = x.new_empty((4, frames, clips, 2 * units) if save else (1,))
        large, small = _tiles(units)  # type: ignore[misc]
        _forward[units // UNITS, 2](
            gi, w_hh, b_hh, out, saved, _counters(x.device), frames, clips,
            REPEAT=repeat, H=units, K0=large, K1=small, BB=_rows(clips), BJ=UNITS, SAVE=save, num_warps=WARPS,
        )  # fmt: skip
        ctx.save_for_backward(x, w_ih, w_hh, out, saved)
        ctx.repeat = repeat
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w_ih, w_hh, out, saved = ctx.saved_tensors
        frames, clips, width = out.shape
        units = width // 2
        dgi, dgh = (torch.empty(frames, clips, 6 * units, dtype=out.dtype, device=out.device) for _ in range(2))
        _backward[units // UNITS, 2](
            grad.contiguous(), w_hh, out, saved, dgi, dgh, _counters(x.device), frames, clips,
            H=units, BK=_stretch(units), BB=_rows(clips), BJ=UNITS, STAGES=STAGES, num_warps=WARPS,
        )  # fmt: skip
        states = dgh.view(frames, clips, 2, 3 * units)
        b_hh = states.sum((0, 1), dtype=torch.float32).to(out.dtype)
        # Gate gradients with the previous state: that of the frame before (forward direction) or after (backward).
        pairs = (
            (states[1:, :, 0], out[:-1, :, :units]),
            (states[:-1, :, 1], out[1:, :, units:]),
        )
        d_hh = torch.stack([g.flatten(0, 1).t() @ h.flatten(0, 1) for g, h in pairs])
        if ctx.repeat > 1:
            dgi = dgi.view(-1, ctx.repeat, clips, 6 * units).sum(1)
        flat = dgi.view(-1, 6 * units)
        b_ih = flat.sum(0, dtype=torch.float32).to(out.dtype)
        dx = (flat @ w_ih).view_as(x) if ctx.needs_input_grad[0] else None
        return dx, flat.t() @ x.reshape(-1, x.shape[2]), d_hh, b_ih, b_hh, None


def _stretch(units: int) -> int:
    """Return the largest power of two up to STRETCH that divides the number of gate units, 3 * units."""
    return min(STRETCH, 3 * units & -(3 * units))


def _rows(clips: int) -> int:
    """Return the tile size in clips: a power of two of at least 16, as tensor-core products need."""
    return MOST_CLIPS if clips > 16 else 16


def _counters(device: torch.device) -> Tensor:
    """Return a counter for each direction's barrier, at 0 and at 32: in separate cache lines of 128 bytes."""
    return torch.zeros(64, dtype=torch.int32, device=device)


def bi_gru(gru: nn.GRU, x: Tensor, *, repeat: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Run a bidirectional GRU by the persistent kernel.

    Args:
        gru: the layers; `fits` must hold for them.
        x: input (clips, inputs, dim).
        repeat: how many times each input frame is repeated.
        dtype: type of the computation and the result.

    Returns:
        States (clips, inputs * repeat, 2 units) of `dtype`.
    """
    x = x.transpose(0, 1).to(dtype)
    for layer in range(gru.num_layers):
        names = (f"l{layer}", f"l{layer}_reverse")
        w_ih, b_ih = (
            torch.cat([getattr(gru, f"{kind}_ih_{n}") for n in names]).to(dtype) for kind in ("weight", "bias")
        )
        w_hh, b_hh = (
            torch.stack([getattr(gru, f"{kind}_hh_{n}") for n in names]).to(dtype) for kind in ("weight", "bias")
        )
        x = _Layer.apply(x, w_ih, w_hh, b_ih, b_hh, repeat if layer == 0 else 1)
    return x.transpose(0, 1)
