"""Cnn14 as an encoder: the published number of parameters, grid and order of layers, and frozen batch norms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.models.detector import Detector, build_detector
from sed.models.panns import Cnn14

Config = Callable[..., dict[str, Any]]
SIZES = {"encoder": "panns", "mel_bins": 64, "input_frames": 1001, "pooling": "mean", "upsample": 8}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_has_the_published_number_of_parameters(config: Config) -> None:
    """The tagger has 80,753,615 (Kong et al. 2020, table of parameters): 5,276,175 of them are its two linear maps."""
    with torch.device("meta"):
        trunk = Cnn14()
        detector = build_detector(config(**SIZES), 10)
    head = count(nn.Linear(2048, 2048)) + count(nn.Linear(2048, 527))
    assert count(trunk) == 75_477_440 == 80_753_615 - head
    # AST-GRU's decoder: two directions of three gates with two biases, on Cnn14's frames and on both directions' states
    gru = 2 * 3 * 768 * (2048 + 768 + 2) + 2 * 3 * 768 * (2 * 768 + 768 + 2)
    assert count(detector) == count(trunk) + gru + 10 * (2 * 768 + 1)


@pytest.mark.parametrize("upsample, frame", [(1, 0.32), (8, 0.04), (32, 0.01)])
def test_ten_seconds_are_31_frames_of_320_ms_brought_to_40_or_10(config: Config, upsample: int, frame: float) -> None:
    values = {**SIZES, "panns_channels": 2, "gru_units": 4, "gru_layers": 1, "upsample": upsample}
    detector = build_detector(config(**values), 5).eval()
    assert detector.encoder.grid == (2, 31) and detector.encoder.dim == 64
    output = detector(torch.rand(2, 1001, 64))
    assert output.logits.shape == (2, 31 * upsample, 5) and detector.frame_seconds == pytest.approx(frame)


def functional(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Compute the network of the paper's figure: norm of bins; twice convolution, norm, ReLU; average pooling."""
    bins = [state[f"bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    x = (x - bins[0]) / (bins[1] + 1e-5).sqrt() * bins[2] + bins[3]
    x = x[:, None]
    for block in range(1, 7):
        for k in (1, 2):
            name = f"conv_block{block}."
            x = F.conv2d(x, state[f"{name}conv{k}.weight"], padding=1)
            parts = ("running_mean", "running_var", "weight", "bias")
            mean, var, weight, bias = (state[f"{name}bn{k}.{part}"][:, None, None] for part in parts)
            x = ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp_min(0)
        if block < 6:
            time, bands = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
            x = x[:, :, :time, :bands]
            x = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
    return x.permute(0, 3, 2, 1)


def randomised(encoder: nn.Module) -> nn.Module:
    """Give batch norms statistics and scales of their own."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return encoder


def test_is_the_network_of_the_paper() -> None:
    torch.manual_seed(0)
    encoder, x = randomised(Cnn14(channels=2)).eval(), torch.randn(2, 101, 64)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(x), functional(encoder.state_dict(), x), rtol=0, atol=1e-5)


def test_too_few_frames_or_bins_are_refused() -> None:
    for sizes in ({"input_frames": 31}, {"mel_bins": 16}):
        with pytest.raises(ValueError, match="nothing left"):
            Cnn14(**sizes, channels=1)


def norms(model: Detector) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items() if ".bn" in key}


def test_frozen_batch_norms_keep_everything_in_student_and_teacher(config: Config) -> None:
    """A step moves the convolutions, but neither statistics nor scales; without freezing, it moves all of them."""
    values = {**SIZES, "panns_channels": 2, "panns_dropout": 0.0, "gru_units": 4, "gru_layers": 1}
    for frozen in (True, False):
        torch.manual_seed(0)
        student = build_detector(config(**values, freeze_batchnorm=frozen), 3)
        teacher = copy.deepcopy(student)
        before = norms(student)
        for model in (student, teacher):
            model.train()
            optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
            model(torch.randn(3, 1001, 64)).logits.square().mean().backward()
            optimiser.step()
            same = [torch.equal(before[key], value) for key, value in norms(model).items()]
            assert all(same) if frozen else not any(same)
            assert not frozen or model.encoder.conv_block3.conv1.weight.grad.any()
