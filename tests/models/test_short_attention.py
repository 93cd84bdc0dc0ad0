"""Use of the fused attention over a few tokens, and a block with it against one without it on a GPU."""

import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode

from sed.models import short_attention
from sed.models.ast import Block


def test_tensors_off_a_gpu_use_torch_s():
    assert not short_attention.usable(torch.zeros(2, 13, 3, 4, 192))
    assert not short_attention.usable(torch.zeros(2, 13, 3, 4, 192, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    "tokens, dim, dtype, usable",
    [
        (16, 256, torch.bfloat16, True),
        (13, 192, torch.float16, True),
        (17, 256, torch.bfloat16, False),
        (16, 257, torch.bfloat16, False),
        (13, 192, torch.float32, False),
    ],
)
def test_few_tokens_of_narrow_heads_in_half_precision_are_fused(tokens, dim, dtype, usable, monkeypatch):
    monkeypatch.setattr(short_attention, "TRITON", True)
    with FakeTensorMode():  # which needs no GPU
        assert short_attention.usable(torch.empty(2, tokens, 3, 4, dim, device="cuda", dtype=dtype)) is usable


WITHOUT_GRADIENTS = """
import sys
import torch
from sed.models import short_attention
launched = []
short_attention._launch = lambda kernel, tensors, q, k: (tensors[-1].zero_(), launched.append(kernel))
with torch.no_grad():
    assert short_attention.self_attention(torch.ones(5, 13, 3, 4, 8)).shape == (5, 13, 4, 8)
    assert short_attention.query_attention(torch.ones(5, 1, 4, 8), torch.ones(5, 13, 2, 4, 8)).shape == (5, 1, 4, 8)
assert launched == ["forward", "forward"]
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.thorough
def test_attention_without_gradients_does_not_import_torch_s_compiler():
    ran = subprocess.run([sys.executable, "-c", WITHOUT_GRADIENTS], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("compile_", [False, True])
def test_a_block_on_a_gpu_equals_one_without_it(compile_, monkeypatch):
    torch.manual_seed(0)
    block = Block(dim=768, heads=4, mlp_ratio=4).cuda()
    x = torch.randn(50, 13, 768, device="cuda", requires_grad=True)

    def run():
        call = (
            torch.compile(lambda x: block.first(block(x)), dynamic=False)
            if compile_
            else lambda x: block.first(block(x))
        )
        with torch.autocast("cuda", torch.bfloat16):
            out = call(x)
        return [out, *torch.autograd.grad(out.float().square().sum(), [x, *block.parameters()])]

    assert short_attention.usable(torch.zeros(2, 13, 3, 4, 192, device="cuda", dtype=torch.bfloat16))
    found = run()
    monkeypatch.setattr(short_attention, "TRITON", False)
    torch.compiler.reset()
    for a, b in zip(found, run(), strict=True):
        assert (a.float() - b.float()).norm() < 0.02 * b.float().norm()
