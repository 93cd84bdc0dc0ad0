"""Multiply-accumulates of a detector: against a count of its layers by their sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from paths import ROOT
from torch import nn

from sed.config import Parser
from sed.models.ast import PatchEmbed
from sed.models.cost import multiply_accumulates, of_training
from sed.models.detector import Detector, build_detector


def of_layers(detector: Detector, bins: int) -> int:
    """Count as thop does, module by module; attention's two products belong to no module and are left out."""
    found: list[int] = []

    def hook(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        x = inputs[0]
        if isinstance(layer, nn.Linear):
            found.append(x.numel() // layer.in_features * layer.in_features * layer.out_features)
        elif isinstance(layer, PatchEmbed):
            found.append(output.numel() * layer.proj.weight[0].numel())
        elif isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels // layer.groups
            found.append(output.numel() * kernel)
        elif isinstance(layer, nn.GRU):
            for number in range(layer.num_layers):
                size = layer.input_size if number == 0 else 2 * layer.hidden_size
                found.append(2 * x.shape[1] * 3 * layer.hidden_size * (size + layer.hidden_size))

    handles = [layer.register_forward_hook(hook) for layer in detector.modules()]
    with torch.no_grad():
        detector(torch.zeros(1, detector.input_frames, bins))
    for handle in handles:
        handle.remove()
    return sum(found)


@pytest.mark.parametrize("pooling", ["mean", "fte"])
def test_the_count_is_that_of_the_layers_and_of_attention(small: Callable[..., dict[str, Any]], pooling: str) -> None:
    config = small(pooling=pooling, upsample=2, fte_blocks=1, input_frames=128, clip_seconds=1.2)
    detector = build_detector(config, 7).eval()
    layers, counted = of_layers(detector, 64), multiply_accumulates(detector, 64)
    tokens = 2 + 4 * 12  # class and distillation token, four bands by twelve steps
    attention = 3 * 2 * tokens**2 * 48  # three blocks of width 48
    # The frequency-wise transformer: one query, and keys and values of five tokens, by no layer's call, in each step.
    columns = 12 * (11 * 48**2 + 2 * 5 * 48) if pooling == "fte" else 0
    assert counted == layers + attention + columns


def test_a_training_step_has_no_windows_around_frames(small: Callable[..., dict[str, Any]]) -> None:
    options = {
        "gru_directions": "apart",
        "clip_pooling": "ends",
        "upsample": 2,
        "input_frames": 128,
        "clip_seconds": 1.2,
    }
    windows = build_detector(small(**options, detection_frames=9), 7)
    without = build_detector(small(**options, detection_frames=0), 7)
    assert multiply_accumulates(windows, 64, training=True) == multiply_accumulates(without, 64)
    assert multiply_accumulates(windows, 64) > multiply_accumulates(without, 64)


def test_the_dcase_baseline_costs_what_its_authors_state() -> None:
    """930.902 M by thop for 10 s (DESED_task's README), which also counts the norms' and activations' products."""
    parser = Parser("config", config=True)
    for module in ("sed.models.detector", "sed.features.logmel", "sed.training.build", "sed.config.recipe_options"):
        parser.options_of(module)
    config = vars(parser.parse_args(["--config", str(ROOT / "conf" / "crnn.yaml")]))
    assert 0.98 * 930.902e6 < multiply_accumulates(build_detector(config, 10), 128) < 930.902e6


def test_training_is_three_passes_of_the_student_and_one_of_the_teacher() -> None:
    assert of_training(10, 5, consistent=True) == 200
    assert of_training(10, 5, consistent=False) == 150
