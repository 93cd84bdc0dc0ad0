"""MLPs whose first product applies the GELU, against those of the models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from sed.gpu.joined_gelu import join_gelus, joined_gelus
from sed.models.ast import Mlp
from sed.models.detector import build_detector


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_an_mlp_with_its_gelu_in_the_product_is_as_near_to_float32_as_under_autocast(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.manual_seed(0)
    mlp = Mlp(dim=64, hidden=256).to(device)
    x = 3 * torch.randn(2, 50, 64, device=device)
    with torch.no_grad():
        expected = mlp(x)
        with torch.autocast(device, torch.bfloat16):
            plain = mlp(x)
            join_gelus(mlp)
            found = mlp(x)
    assert found.shape == plain.shape and found.dtype == plain.dtype
    assert (found - expected).norm() < 1.5 * (plain - expected).norm()


@pytest.mark.slow
def test_compiled_code_runs_joined_gelus_within_the_context_only(
    tiny_config: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a CPU the joined product gives the same bits as the model's own code, so a tanh stands in for it.
    monkeypatch.setattr("sed.gpu.joined_gelu.joined_gelu", lambda linear, x: linear(x).tanh())
    detector = build_detector(tiny_config(), 3).eval()
    x = torch.randn(2, detector.input_frames, detector.mel_bins)
    counter = CompileCounterWithBackend("aot_eager")
    run = torch.compile(lambda x: detector.encode(x), dynamic=False, backend=counter)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = detector.encode(x)
        with joined_gelus(detector):
            joined, compiled = detector.encode(x), run(x)
        compilations = counter.frame_count
        with joined_gelus(detector):
            run(x)
        assert counter.frame_count == compilations  # compiled again, it could not be captured in a CUDA graph
        assert torch.equal(run(x), plain) and torch.equal(detector.encode(x), plain)
    assert not torch.equal(joined, plain)
    assert torch.equal(compiled, joined)
