"""The persistent kernel against torch's GRU: the arithmetic in Triton's interpreter, the barrier on a GPU."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

INTERPRETED = """
import torch
from torch import nn
from sed.training.gpu.persistent_gru import UNITS, bi_gru
torch.manual_seed(0)
gru = nn.GRU(12, UNITS, 2, batch_first=True, bidirectional=True)  # one program per direction: no barrier
x = torch.randn(2, 3, 12, requires_grad=True)
out = bi_gru(gru, x, repeat=2, dtype=torch.float32)
grad = torch.randn_like(out)
out.backward(grad)
ours = [out.detach(), x.grad, *(p.grad for p in gru.parameters())]
x.grad = None
gru.zero_grad(set_to_none=True)
reference = gru(x.repeat_interleave(2, dim=1))[0]
reference.backward(grad)
theirs = [reference.detach(), x.grad, *(p.grad for p in gru.parameters())]
assert all(torch.allclose(a, b, atol=2e-5) for a, b in zip(ours, theirs, strict=True))
"""


@pytest.mark.thorough
def test_the_kernel_s_arithmetic_is_torch_s():
    pytest.importorskip("triton")
    env = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", INTERPRETED], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("units", "clips", "repeat"), [(64, 5, 1), (768, 48, 10)])
def test_many_programs_agree_with_cudnn_and_are_deterministic(units, clips, repeat):
    from sed.training.gpu import persistent_gru as persistent

    torch.manual_seed(0)
    gru = nn.GRU(96, units, 2, batch_first=True, bidirectional=True).cuda()
    if not persistent.fits(gru, clips, torch.device("cuda")):
        pytest.skip("the kernel does not fit this GPU")
    x = torch.randn(clips, 30, 96, device="cuda")
    reference = gru(x.repeat_interleave(repeat, dim=1))[0]
    found = [persistent.bi_gru(gru, x, repeat=repeat) for _ in range(3)]
    assert all(torch.equal(found[0], other) for other in found)  # a result that changes would be a race condition
    assert (found[0].float() - reference).norm() < 0.02 * reference.norm()


@pytest.mark.parametrize(
    ("units", "sharers", "fits"),
    [(256, "", True), (256, "8", True), (256, "9", False), (768, "1", True), (768, "2", False)],
)
def test_the_kernel_is_used_only_if_all_sharers_of_a_gpu_fit(units, sharers, fits, monkeypatch):
    pytest.importorskip("triton")
    from sed.training.gpu import persistent_gru as persistent

    h200 = SimpleNamespace(major=9, multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: h200)
    monkeypatch.setenv("SED_GPU_SHARERS", sharers)
    gru = nn.GRU(8, units, batch_first=True, bidirectional=True, device="meta")
    assert persistent.fits(gru, 48, torch.device("cuda")) is fits
