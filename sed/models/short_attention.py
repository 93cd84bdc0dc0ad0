"""Attention over few tokens, fused for GPUs: the frequency-wise transformer's 12 bands and class token per time step.

Kernels for long sequences work on tiles of 64 tokens and more. Here a program (Triton's thread block) loads all tokens
of one head, so that queries, keys and values are read once; the backward pass computes the attention weights again.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

MOST_TOKENS = 16  # rows of a tensor-core product
MOST_DIM = 256  # width of a head whose tiles fit into registers
WARPS = 2  # warps per program
TRITON = importlib.util.find_spec("triton") is not None


def usable(x: Tensor) -> bool:
    """Return whether the kernels can compute x (..., tokens, parts, heads, dim), where Triton is installed.

    Tokens must be few, heads narrow, and x in half precision on a GPU. The parts are queries, keys and values, or keys
    and values.
    """
    few = x.shape[-4] <= MOST_TOKENS and x.shape[-1] <= MOST_DIM
    return TRITON and x.is_cuda and few and x.dtype in (torch.bfloat16, torch.float16)


def _launch(kernel: str, tensors: tuple[Tensor, ...], q: Tensor, k: Tensor) -> None:
    """Launch a kernel on tensors, with the shapes and strides of q and k (sequences, tokens, heads, dim).

    The first comment of `short_attention_kernels` says which strides the other tensors have.
    """
    from sed.models import short_attention_kernels

    sequences, queries, heads, dim = q.shape
    columns = max(16, 1 << (dim - 1).bit_length())  # a tile's width is a power of 2, for tensor cores at least 16
    with torch.cuda.device_of(q):  # Triton launches on the current GPU
        getattr(short_attention_kernels, kernel)[sequences, heads](
            *tensors, *q.stride()[:2], *k.stride()[:2], queries, k.shape[1], dim, dim**-0.5, T=MOST_TOKENS, D=columns,
            num_warps=WARPS,
        )  # fmt: skip


def self_attention(qkv: Tensor) -> Tensor:
    """Map queries, keys and values (sequences, tokens, 3, heads, dim) to (sequences, tokens, heads, dim)."""
    y: Tensor = _self_attention(qkv) if _needs_operator() else _self_forward(qkv)
    return y


def query_attention(q: Tensor, kv: Tensor) -> Tensor:
    """Map queries (sequences, queries, heads, dim), and keys and values (sequences, tokens, 2, heads, dim).

    There are at most MOST_TOKENS queries; `usable` checks keys and values only.

    Returns:
        (sequences, queries, heads, dim).
    """
    y: Tensor = _query_attention(q, kv) if _needs_operator() else _query_forward(q, kv)
    return y


def _needs_operator() -> bool:
    """Return whether torch operators are needed: for gradients or a compiler.

    The first call of an operator imports torch._dynamo, for which the first batch of a prediction waited 5 s.
    """
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


def _self_forward(qkv: Tensor) -> Tensor:
    q, k, v = qkv.unbind(2)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    _launch("forward", (q, k, v, out), q, k)
    return out


_self_attention = torch.library.custom_op("sed::self_attention", _self_forward, mutates_args=())


@_self_attention.register_fake
def _(qkv: Tensor) -> Tensor:
    sequences, tokens, _, heads, dim = qkv.shape
    return qkv.new_empty(sequences, tokens, heads, dim)


@torch.library.custom_op("sed::self_attention_backward", mutates_args=())
def _self_backward(grad: Tensor, qkv: Tensor) -> Tensor:
    qkv = qkv.contiguous()  # its gradient has the same strides
    d_qkv = torch.empty_like(qkv)
    q, k, v = qkv.unbind(2)
    _launch("backward", (grad.contiguous(), q, k, v, *d_qkv.unbind(2)), q, k)
    return d_qkv


@_self_backward.register_fake
def _(_grad: Tensor, qkv: Tensor) -> Tensor:
    return torch.empty_like(qkv, memory_format=torch.contiguous_format)


def _query_forward(q: Tensor, kv: Tensor) -> Tensor:
    k, v = kv.unbind(2)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    _launch("forward", (q, k, v, out), q, k)
    return out


_query_attention = torch.library.custom_op("sed::query_attention", _query_forward, mutates_args=())


@_query_attention.register_fake
def _(q: Tensor, _kv: Tensor) -> Tensor:
    return torch.empty(q.shape, dtype=q.dtype, device=q.device)


@torch.library.custom_op("sed::query_attention_backward", mutates_args=())
def _query_backward(grad: Tensor, q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor]:
    q, kv = q.contiguous(), kv.contiguous()  # their gradients have the same strides
    d_q, d_kv = torch.empty_like(q), torch.empty_like(kv)
    k, v = kv.unbind(2)
    _launch("backward", (grad.contiguous(), q, k, v, d_q, *d_kv.unbind(2)), q, k)
    return d_q, d_kv


@_query_backward.register_fake
def _(_grad: Tensor, q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor]:
    d_q, d_kv = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, kv))
    return d_q, d_kv


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001 - torch passes it by name
    ctx.save_for_backward(*inputs)


_self_attention.register_autograd(lambda ctx, grad: _self_backward(grad, *ctx.saved_tensors), setup_context=_save)
_query_attention.register_autograd(lambda ctx, grad: _query_backward(grad, *ctx.saved_tensors), setup_context=_save)
