"""Triton kernels of `short_attention`: a program computes one head of one sequence, of up to T tokens."""

from __future__ import annotations

import triton
import triton.language as tl

# Tensors are (sequences, tokens, heads, dim), with heads and dim contiguous. Strides of q and of k and v are given; out
# and its gradient are contiguous, and gradients of q, k and v have the strides of q, k and v. A head's tile has T rows,
# for tokens (`short_attention.MOST_TOKENS`), and D columns, for `dim`: powers of two, at least 16 for tl.dot. Rows and
# columns beyond the tokens and `dim` are loaded as 0. Sequences are numbered in 64 bits, as offsets may exceed 2^31.
# input_precision "ieee" keeps float32 operands exact (no TF32); on half precision, the usual one, it has no effect.


@triton.jit
def _tile(tokens, dim, stride, T: tl.constexpr, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the offsets of a head's tile and where it has values."""
    row, col = tl.arange(0, T)[:, None], tl.arange(0, D)[None, :]
    return row * stride + col, (row < tokens) & (col < dim)


@triton.jit
def _weights(q, k, tokens, scale, T: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the attention weights (queries, keys) of padded tiles."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    scores = tl.where(tl.arange(0, T)[None, :] < tokens, scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit
def forward(  # type: ignore[no-untyped-def]
    q, k, v, out, q_sequence, q_token, k_sequence, k_token, queries, tokens, dim, scale,
    T: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """Compute the attention of a head.

    Args:
        q: queries.
        k: keys.
        v: values.
        out: where the result is stored.
        q_sequence: stride of q from one sequence to the next.
        q_token: stride of q from one token to the next.
        k_sequence: stride of k and v from one sequence to the next.
        k_token: stride of k and v from one token to the next.
        queries: number of queries.
        tokens: number of keys and values.
        dim: width of a head.
        scale: factor of the scores.
        T: rows of a tile, at least the number of queries and of keys.
        D: columns of a tile, at least `dim`.

    Returns:
        Nothing; the result is in `out`.
    """
    sequence, head, heads = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    q_at, q_live = _tile(queries, dim, q_token, T, D)
    k_at, k_live = _tile(tokens, dim, k_token, T, D)
    out_at, _ = _tile(queries, dim, heads * dim, T, D)
    q_tile = tl.load(q + sequence * q_sequence + head * dim + q_at, mask=q_live, other=0.0)
    k_tile = tl.load(k + sequence * k_sequence + head * dim + k_at, mask=k_live, other=0.0)
    v_tile = tl.load(v + sequence * k_sequence + head * dim + k_at, mask=k_live, other=0.0)
    weights = _weights(q_tile, k_tile, tokens, scale, T).to(v_tile.dtype)
    result = tl.dot(weights, v_tile, input_precision="ieee")
    tl.store(out + sequence * queries * heads * dim + head * dim + out_at, result.to(out.dtype.element_ty), mask=q_live)


@triton.jit
def backward(  # type: ignore[no-untyped-def]
    grad, q, k, v, dq, dk, dv, q_sequence, q_token, k_sequence, k_token, queries, tokens, dim, scale,
    T: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of a head's queries, keys and values.

    Args:
        grad: gradient of the result.
        q: queries.
        k: keys.
        v: values.
        dq: where the gradient of q is stored.
        dk: where the gradient of k is stored.
        dv: where the gradient of v is stored.
        q_sequence: stride of q from one sequence to the next.
        q_token: stride of q from one token to the next.
        k_sequence: stride of k and v from one sequence to the next.
        k_token: stride of k and v from one token to the next.
        queries: number of queries.
        tokens: number of keys and values.
        dim: width of a head.
        scale: factor of the scores.
        T: rows of a tile, at least the number of queries and of keys.
        D: columns of a tile, at least `dim`.

    Returns:
        Nothing; gradients are in `dq`, `dk` and `dv`.
    """
    sequence, head, heads = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    q_at, q_live = _tile(queries, dim, q_token, T, D)
    k_at, k_live = _tile(tokens, dim, k_token, T, D)
    out_at, _ = _tile(queries, dim, heads * dim, T, D)
    q_at += sequence * q_sequence + head * dim
    k_at += sequence * k_sequence + head * dim
    q_tile = tl.load(q + q_at, mask=q_live, other=0.0)
    k_tile = tl.load(k + k_at, mask=k_live, other=0.0)
    v_tile = tl.load(v + k_at, mask=k_live, other=0.0)
    g_tile = tl.load(grad + sequence * queries * heads * dim + head * dim + out_at, mask=q_live, other=0.0)
    kind = q_tile.dtype
    weights = _weights(q_tile, k_tile, tokens, scale, T)
    d_weights = tl.dot(g_tile, tl.trans(v_tile), input_precision="ieee")
    d_scores = weights * (d_weights - tl.sum(weights * d_weights, 1)[:, None]) * scale
    d_v = tl.dot(tl.trans(weights.to(kind)), g_tile, input_precision="ieee")  # rows beyond the queries have no gradient
    d_q = tl.dot(d_scores.to(kind), k_tile, input_precision="ieee")
    d_k = tl.dot(tl.trans(d_scores.to(kind)), q_tile, input_precision="ieee")
    tl.store(dv + k_at, d_v.to(dv.dtype.element_ty), mask=k_live)
    tl.store(dk + k_at, d_k.to(dk.dtype.element_ty), mask=k_live)
    tl.store(dq + q_at, d_q.to(dq.dtype.element_ty), mask=q_live)
