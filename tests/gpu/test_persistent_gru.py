"""The persistent kernel against torch's GRU: on an emulated GPU, where a compiler is installed, and on a real one."""

import ctypes
import shutil
import subprocess
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sed.errors import UserError
from sed.gpu import persistent_gru as persistent
from sed.gpu.persistent_gru import Plan, plan

HELPERS = Path(__file__).parents[1] / "helpers"
EMULATED = """
#include "cuda_emulator.h"
#include "{source}"
extern "C" int gru_forward_(
    const u32* gi, const uint4* w, const u32* b, u32* out, u32* saved,
    int frames, int clips, int repeat, int save, int first, int groups
) {{
    return emulate(H / U, groups, [=] {{ gru_forward(gi, w, b, out, saved, frames, clips, repeat, save, first); }});
}}
extern "C" int gru_forward_exact_(
    const float2* gi, const uint4* w, const float2* b, u32* out,
    int frames, int clips, int repeat, int first, int groups
) {{
    return emulate(H / U, groups, [=] {{ gru_forward_exact(gi, w, b, out, frames, clips, repeat, first); }});
}}
extern "C" int gru_backward_(
    const u32* grad, const uint4* w, const u32* out, const u32* saved, u32* dgi, u32* dgh,
    int frames, int clips, int first, int groups
) {{
    return emulate(H / U, groups, [=] {{ gru_backward(grad, w, out, saved, dgi, dgh, frames, clips, first); }});
}}
"""


@pytest.fixture
def emulated(tmp_path, monkeypatch):
    """Return a function that makes `launch` run a plan's kernels on the CPU, and holds `held` weights in registers."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")

    def build(plan, held):
        code = tmp_path / "kernels.cpp"
        code.write_text(EMULATED.format(source=persistent.SOURCE))
        sizes = {"H": plan.units, "U": plan.slice, "WARPS": plan.warps, "HELD": held, "BLOCKS": 1, "PAUSE": 0}
        subprocess.run(
            ["g++", "-std=c++20", "-O1", "-w", "-shared", "-fPIC", "-pthread", f"-I{HELPERS}", code]
            + [f"-D{name}={value}" for name, value in sizes.items()]
            + ["-o", code.with_suffix(".so")],
            check=True,
        )
        library = ctypes.CDLL(str(code.with_suffix(".so")))

        def launch(name, plan, arguments, clips, part=slice(None)):
            shared = [a.clone().share_memory_() if isinstance(a, torch.Tensor) else a for a in arguments]
            given = [ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in shared]
            groups = -(-clips // persistent.GROUP)
            for first in range(0, groups, plan.groups)[part]:
                assert not getattr(library, f"{name}_")(*given, first, min(plan.groups, groups - first))
            for a, b in zip(arguments, shared, strict=True):
                if isinstance(a, torch.Tensor):
                    a.copy_(b)

        monkeypatch.setattr(persistent, "launch", launch)

    return build


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("plan", "held", "clips"),
    [  # Plan(units, slice, warps, groups, resident)
        (Plan(64, 32, 2, 1, 1), 6, 5),  # clips that do not fill a group
        (Plan(64, 16, 1, 1, 1), 10, 20),  # two launches, columns in several chunks, weights in shared memory
        (Plan(64, 64, 2, 2, 1), 12, 17),  # two groups in one launch
    ],
)
def test_the_kernel_s_arithmetic_is_torch_s(plan, held, clips, emulated):
    emulated(plan, held)
    torch.manual_seed(0)
    gru = nn.GRU(12, plan.units, 2, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for p in gru.parameters():
            p.copy_(2 * p.bfloat16())  # so that only the states are rounded; larger, so that gates open and close
    x = torch.randn(clips, 3, 12).bfloat16().float().requires_grad_()
    calls = []
    last = persistent.Last(plan, 1, lambda: calls.append(1))
    out = persistent.bi_gru(x, persistent.weights_of(gru, exact=False), repeat=2, plan=plan, last=last)
    assert calls == [1]
    gradient = torch.randn_like(out)
    out.backward(gradient)
    found = [out.detach().float(), x.grad, *(p.grad for p in gru.parameters())]
    x.grad = None
    gru.zero_grad(set_to_none=True)
    reference = gru(x.repeat_interleave(2, dim=1))[0]
    reference.backward(gradient.float())
    expected = [reference.detach(), x.grad, *(p.grad for p in gru.parameters())]
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() < 0.01 * b.norm()  # bf16 has a relative error of 0.004 per value


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("plan", "held", "clips"), [(Plan(64, 32, 2, 1, 1, True), 12, 5), (Plan(64, 16, 1, 1, 1, True), 20, 20)]
)
def test_the_exact_kernel_is_torch_s_in_float32(plan, held, clips, emulated):
    emulated(plan, held)
    torch.manual_seed(0)
    gru = nn.GRU(12, plan.units, 2, batch_first=True, bidirectional=True)
    x = torch.randn(clips, 4, 12)
    with torch.no_grad():
        for p in gru.parameters():
            p.mul_(3)
        found = persistent.exact_gru(x, persistent.weights_of(gru, exact=True), repeat=3, plan=plan)
        expected = gru(x.repeat_interleave(3, dim=1))[0]
    assert (found - expected).abs().max() < 2e-5  # bf16 has .004


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("units", "clips", "repeat"), [(64, 5, 1), (256, 48, 16), (768, 12, 10), (768, 48, 10), (768, 150, 3)]
)
def test_many_blocks_agree_with_cudnn_and_are_deterministic(units, clips, repeat):
    torch.manual_seed(0)
    gru = nn.GRU(96, units, 2, batch_first=True, bidirectional=True).cuda()
    plan = persistent.plan_for(gru, clips, torch.device("cuda"))
    if plan is None:
        pytest.skip("the kernel cannot run on this GPU")
    x = torch.randn(clips, 30, 96, device="cuda", requires_grad=True)
    parameters = [x, *gru.parameters()]
    gradient = torch.randn(clips, 30 * repeat, 2 * units, device="cuda")
    reference = gru(x.repeat_interleave(repeat, dim=1))[0]
    expected = [reference.detach(), *torch.autograd.grad(reference, parameters, gradient)]
    runs = []
    for _ in range(3):
        out = persistent.bi_gru(x, persistent.weights_of(gru, exact=False), repeat=repeat, plan=plan)
        runs.append([out.detach(), *torch.autograd.grad(out, parameters, gradient.bfloat16())])
    for found in runs:  # a result that changes would be a race condition
        assert all(torch.equal(a, b) for a, b in zip(found, runs[0], strict=True))
        assert all((a.float() - b).norm() < 0.02 * b.norm() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("units", "clips", "sharers", "blocks"),
    [  # blocks: 2 directions x slices of the units x groups of 16 clips per launch
        (768, 48, 1, 2 * 768 // 48 * 3),
        (768, 12, 1, 2 * 768 // 16 * 1),
        (768, 24, 1, 2 * 768 // 32 * 2),
        (768, 64, 1, 2 * 768 // 48 * 4),
        (768, 48, 2, 2 * 768 // 48 * 2),  # a second launch for the third group, as 2 x 96 blocks do not fit on 132
        (256, 48, 8, 2 * 256 // 32 * 2),  # two blocks on each multiprocessor: 8 x 32 on 132
        (768, 1, 20, None),
    ],
)
def test_the_blocks_of_all_sharers_of_a_gpu_are_resident_at_once(units, clips, sharers, blocks):
    found = plan(units, clips, multiprocessors=132, shared_bytes=228 * 1024, sharers=sharers)  # an H100's or H200's
    assert (found.blocks if found else None) == blocks
    if found:
        assert found.blocks * sharers <= 132 * found.resident
        assert (found.shared_bytes + 1024) * found.resident <= 228 * 1024


@pytest.mark.parametrize(
    ("units", "clips", "sharers", "blocks"),
    # one group per launch in slices of 48 units, in what the other's 96 blocks leave; None: these are 2 x 96 or 128
    [(768, 48, 1, 2 * 768 // 48), (768, 12, 1, 2 * 768 // 48), (256, 48, 2, None), (768, 64, 1, None)],
)
def test_the_blocks_of_a_kernel_beside_another_are_resident_with_the_other_s(
    units, clips, sharers, blocks, monkeypatch
):
    hopper = SimpleNamespace(major=9, multi_processor_count=132, shared_memory_per_multiprocessor=228 * 1024)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: hopper)
    monkeypatch.setenv("SED_GPU_SHARERS", str(sharers))
    gru = nn.GRU(8, units, 2, batch_first=True, bidirectional=True, device="meta")
    other = persistent.plan_for(gru, clips, torch.device("cuda"))
    found = persistent.plan_for(gru, clips, torch.device("cuda"), beside=other)
    assert (found.blocks if found else None) == blocks
    if found:  # each block of the other may have a multiprocessor of its own
        assert found.blocks * sharers <= (132 - other.blocks * sharers) * found.resident


def test_a_gpu_with_less_shared_memory_has_smaller_blocks_and_more_launches():
    found = plan(768, 48, multiprocessors=170, shared_bytes=100 * 1024, sharers=1)  # an RTX 5090's
    assert found and found.slice == 16 and found.launches(48) == 3  # above, an H100: 48 units, one launch
    assert found.shared_bytes <= 99 * 1024  # 1 KiB is reserved for each block


def test_layers_that_the_kernel_does_not_compute_have_no_plan(monkeypatch):
    hopper = SimpleNamespace(major=9, multi_processor_count=132, shared_memory_per_multiprocessor=228 * 1024)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: hopper)
    device = torch.device("cuda")
    assert persistent.plan_for(nn.GRU(8, 256, batch_first=True, bidirectional=True, device="meta"), 48, device)
    for options in ({"bidirectional": False}, {"bias": False}, {"batch_first": False}):
        gru = nn.GRU(8, 256, **{"batch_first": True, "bidirectional": True, "device": "meta", **options})
        assert persistent.plan_for(gru, 48, device) is None
    assert persistent.plan_for(nn.GRU(8, 40, batch_first=True, bidirectional=True, device="meta"), 48, device) is None
    assert persistent.plan_for(nn.GRU(8, 256, batch_first=True, bidirectional=True), 48, torch.device("cpu")) is None


def test_what_the_second_stream_reads_is_kept_until_it_is_done(monkeypatch):
    waited, alive = [], []
    event = SimpleNamespace()
    current = SimpleNamespace(record_event=lambda: event, wait_stream=waited.append)
    side = SimpleNamespace(wait_event=lambda _: None)
    weight_gradients = persistent.weight_gradients

    def recorded(*arguments):
        assert not waited
        for other in alive:
            assert all(reference() is not None for reference in other)
        alive.append([weakref.ref(a) for a in arguments])
        return weight_gradients(*arguments)

    monkeypatch.setattr(persistent, "launch", lambda *_: None)
    monkeypatch.setattr(persistent, "weight_gradients", recorded)
    monkeypatch.setattr(persistent, "second_stream", lambda _: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: current)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    gru = nn.GRU(12, 64, 3, batch_first=True, bidirectional=True)
    x = torch.randn(2, 3, 12, requires_grad=True)
    out = persistent.bi_gru(x, persistent.weights_of(gru, exact=False), repeat=2, plan=Plan(64, 32, 2, 1, 1))
    out.sum().backward()
    assert waited == [side] and len(alive) == 3


@pytest.mark.parametrize("text", ["0", "two", "1.5", "-1"])
def test_a_number_of_sharers_that_is_not_a_whole_number_above_0_is_refused(text, monkeypatch):
    monkeypatch.setenv("SED_GPU_SHARERS", text)
    with pytest.raises(UserError, match="SED_GPU_SHARERS="):
        persistent.gpu_sharers()
