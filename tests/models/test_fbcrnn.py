"""The CNN of FB-CRNN and Bi-CRNN: layers as published, at the resolution of its features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.models.fbcrnn import FBCNN


@pytest.mark.parametrize(
    "layout, width, parameters, dim", [("shallow", 1, 1_773_360, 256), ("deep", 2, 8_356_192, 512)]
)
def test_has_the_published_numbers_of_parameters(layout: str, width: float, parameters: int, dim: int) -> None:
    """Compare with the published systems' counts (test_apart_decoder.py) less those of what follows the encoder.

    In the shallow system these are two GRUs (789,504 each), two hidden layers with batch norm (66,304 each) and two
    classifiers of ten classes (2,570 each): 3,490,116 - 1,716,756.
    """
    with torch.device("meta"):
        encoder = FBCNN(layout=layout, width=width)
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert encoder.grid == (1, 500) and encoder.dim == dim and encoder.time_stride == 1


def norm(x: Tensor, module: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, var, weight, bias = (
        getattr(module, name).view(shape) for name in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (var + 1e-3).sqrt() * weight + bias).clamp_min(0)


def written_out(encoder: FBCNN, x: Tensor, *, pool_after: set[int], from_to: dict[int, dict[int, int]]) -> Tensor:
    """Compute the network layer by layer.

    Args:
        encoder: the network whose weights are used.
        x: (batch, frames, mel bins).
        pool_after: 2-D layers, counted from 1, that are followed by max pooling over two bands.
        from_to: {dimensions of the stack: {layer: later layer to whose input the input of the first is added}}.

    Returns:
        (batch, 1, frames, channels).
    """
    x = x.transpose(1, 2)[:, None]
    for dims, stack in ((2, encoder.planar), (1, encoder.linear)):
        convolve = F.conv2d if dims == 2 else F.conv1d
        inputs = {}
        for layer, convolution in enumerate(stack.convolutions, 1):
            inputs[layer] = x
            x = convolution(norm(x, stack.norms[layer - 2])) if layer > 1 else convolution(x)
            for source, target in from_to[dims].items():
                if target == layer + 1:
                    carried = inputs[source]
                    if str(source - 1) in stack.skips:
                        skip = stack.skips[str(source - 1)]
                        carried = convolve(carried, skip.weight, skip.bias)
                    x = x + carried
            if dims == 2 and layer in pool_after:
                x = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
        x = norm(x, stack.norms[-1])
        x = x.flatten(1, 2) if dims == 2 else x
    return x.transpose(1, 2)[:, None]


@pytest.mark.parametrize(
    "layout, pool_after, from_to",
    [
        ("shallow", {2, 4, 6, 8}, {2: {}, 1: {}}),
        ("deep", {4, 8, 12, 16}, {2: {i: i + 2 for i in (3, 5, 7, 9, 11, 13, 15)}, 1: {i: i + 2 for i in (2, 4, 6)}}),
    ],
)
def test_is_the_published_network(layout: str, pool_after: set[int], from_to: dict[int, dict[int, int]]) -> None:
    torch.manual_seed(0)
    encoder = FBCNN(layout=layout, width=0.125, input_frames=20).eval()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    x = torch.randn(2, 20, 128)
    with torch.inference_mode():
        expected = written_out(encoder, x, pool_after=pool_after, from_to=from_to)
        assert expected.shape == (2, 1, 20, 32)
        torch.testing.assert_close(encoder(x), expected, rtol=1e-3, atol=1e-4)


def test_fewer_mel_bins_are_pooled_to_one_band_at_the_least() -> None:
    assert FBCNN(mel_bins=8, input_frames=11, width=0.1)(torch.rand(1, 11, 8)).shape == (1, 1, 11, 26)
