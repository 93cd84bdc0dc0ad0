"""Float32 products as three of TF32 values: on the CPU with the parts rounded as a GPU does, on a GPU as they are."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sed.gpu import split_products
from sed.gpu.split_products import SplitProducts, parted


def as_tf32(x):
    """Cut off what a tensor core does not read."""
    return (x.view(torch.int32) & -1 << 13).view(torch.float32)


def test_parts_are_tf32_values_and_small_rests():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * torch.logspace(-30, 30, 1000)
    value, rest = parted(x)
    assert torch.equal(value, as_tf32(value))
    assert torch.equal(value.double() + rest.double(), x.double())
    assert (rest.abs() <= x.abs() * 2**-11).all()


@pytest.fixture
def tensor_cores(monkeypatch):
    """Let the CPU's float32 products read TF32 values alone; collect the shapes of their weights."""
    sizes, linear = [], F.linear

    def coarse(x, weight, bias=None):
        sizes.append(tuple(weight.shape))
        return linear(as_tf32(x), as_tf32(weight), bias)

    monkeypatch.setattr(split_products, "faster", lambda _: True)
    monkeypatch.setattr(split_products, "product", coarse)
    return sizes


@pytest.mark.parametrize("bias", [True, False])
def test_products_are_as_accurate_as_float32(tensor_cores, bias):
    torch.manual_seed(0)
    layer = nn.Linear(768, 64, bias=bias)
    x = torch.randn(5, 7, 768)
    exact = F.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    with torch.no_grad():
        plain = (layer(x) - exact).abs().max()
        with SplitProducts() as mode:
            split = [layer(x), layer(x.transpose(0, 1)).transpose(0, 1)]
            part = F.linear(x, layer.weight[:32], layer.bias[:32] if bias else None)
    assert tensor_cores == [(64, 3 * 768), (64, 3 * 768), (32, 3 * 768)]  # three products as one
    assert all((found - exact).abs().max() < 4 * plain for found in split)
    assert (part - exact[..., :32]).abs().max() < 4 * plain
    assert len(mode._weights) == 1  # parts of slices of a parameter are not kept


def test_products_are_split_on_a100_hopper_and_b200_only(monkeypatch):
    known = [(7, 0), (8, 6), (8, 9), (12, 0), (8, 0), (9, 0), (10, 0)]
    capabilities = {f"cuda:{number}": capability for number, capability in enumerate(known)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[str(device)])
    devices = [torch.device(name) for name in capabilities]
    assert [split_products.faster.__wrapped__(device) for device in devices] == [False] * 4 + [True] * 3
    assert not split_products.faster(torch.device("cpu"))


def test_other_products_are_left_alone(tensor_cores):
    x = torch.randn(2, 3)
    with SplitProducts():
        F.linear(x.double(), x.double())
        torch.mm(x, x.t())
    assert tensor_cores == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_products_on_a_gpu_are_as_accurate_as_float32():
    torch.manual_seed(0)
    x, weight = torch.randn(1000, 768), torch.randn(3072, 768)
    exact = x.double() @ weight.double().t()
    with torch.no_grad(), SplitProducts():
        found = F.linear(x.cuda(), weight.cuda()).cpu()
    assert (found - exact).abs().max() < 4 * (F.linear(x, weight) - exact).abs().max()
    assert not torch.backends.cuda.matmul.allow_tf32
