"""The kernels of attention over a few tokens against torch's attention, in Triton's interpreter."""

import os
import subprocess
import sys

import pytest

INTERPRETED = """
import torch
import torch.nn.functional as F
from sed.models.short_attention import query_attention, self_attention
torch.manual_seed(0)
def attend(q, k, v):
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
qkv = torch.randn(2, 5, 3, 2, 24, requires_grad=True)
q = torch.randn(2, 3, 2, 24)[:, 1:2].requires_grad_()  # not contiguous
kv = torch.randn(2, 16, 2, 2, 24, requires_grad=True)
for inputs, ours, theirs in (
    ((qkv,), self_attention, lambda x: attend(*x.unbind(2))),
    ((q, kv), query_attention, lambda q, kv: attend(q, *kv.unbind(2))),
):
    found, expected = ours(*inputs), theirs(*inputs)
    gradient = torch.randn_like(expected)
    both = [(out, *torch.autograd.grad(out, inputs, gradient)) for out in (found, expected)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*both, strict=True))
"""


@pytest.mark.thorough
def test_values_and_gradients_are_torch_s():
    pytest.importorskip("triton")
    env = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", INTERPRETED], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
