"""The classifier of GPU training against torch's linear map in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sed.models.detector import build_detector, in_float32
from sed.training.gpu.classifier import classified_in_float32, parts_of, split_linear


def test_three_parts_are_the_value() -> None:
    x = torch.randn(1000)
    assert torch.stack(parts_of(x)).double().sum(0).sub(x.double()).abs().max() <= 2**-24 * x.abs().max()  # float32's


@pytest.mark.parametrize("by_time", [True, False])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_bf16_states_are_classified_as_in_float32(by_time: bool, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.manual_seed(0)
    classifier = nn.Linear(96, 10).to(device)
    shape = (7, 3, 96) if by_time else (3, 7, 96)
    states = torch.randn(shape, device=device).bfloat16().requires_grad_()
    grad = torch.randn(3, 7, 10, device=device)
    found, expected = [], []
    for run, results in ((split_linear, found), (in_float32, expected)):
        logits = run(classifier, states.transpose(0, 1) if by_time else states)
        results += [logits.detach(), *torch.autograd.grad(logits, [states, *classifier.parameters()], grad)]
    # Logits and the bias's gradient are float32 sums, the states' gradient is bf16, and the weight's has its factor to
    # 16 bits, 2**-16 = 1.5e-5 (see `_Linear.backward`).
    for a, b, most in zip(found, expected, (1e-6, 2**-8, 2e-5, 1e-6), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert (a.float() - b.float()).abs().max() <= most * b.float().abs().max()


def test_other_classifiers_and_states_are_left_to_float32() -> None:
    layers = nn.Sequential(nn.Linear(8, 4))
    states = torch.randn(2, 5, 8)
    assert torch.equal(split_linear(layers, states.bfloat16()), layers(states.bfloat16().float()))
    assert torch.equal(split_linear(layers[0], states), layers(states))


def test_the_classifier_in_float32_is_undone_after_its_context(tiny_config: Callable[..., dict[str, Any]]) -> None:
    detector = build_detector(tiny_config(), 3)
    detector.run_classifier = split_linear
    with classified_in_float32(detector):
        assert detector.run_classifier is in_float32
    assert detector.run_classifier is split_linear
