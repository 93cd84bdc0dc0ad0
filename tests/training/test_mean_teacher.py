"""The mean teacher: the average of parameters and buffers, in one tensor per group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sed.training.mean_teacher import MovingAverage, make_teacher
from sed.training.parameters import FlatParameters, parameter_groups


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5))
        self.cls_token = nn.Parameter(torch.randn(1, 1, 5))
        self.norm = nn.BatchNorm1d(5)
        self.head = nn.GRU(5, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm((self.encoder(x) + self.cls_token).transpose(1, 2)).transpose(1, 2)
        return self.head(x)[0]


def test_teacher_is_the_average_of_parameters_and_buffers() -> None:
    torch.manual_seed(0)
    net = Net()
    flat = FlatParameters(parameter_groups(net, net.encoder), gradients=True)
    teacher = make_teacher(net)
    average = MovingAverage(net, flat, teacher)
    expected = {name: value.clone() for name, value in teacher.state_dict().items()}
    for step in range(1, 4):
        decay = min(1 - 1 / step, 0.6)
        with torch.no_grad():
            for value in flat.flat.values():
                value += torch.randn_like(value)
        net(torch.randn(3, 6, 4))  # moves the student's batch statistics
        teacher(torch.randn(3, 6, 4))  # must not move the teacher's
        average.update(torch.tensor(1 - decay))
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value
    for name, value in teacher.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    assert not any(p.requires_grad for p in teacher.parameters())
    assert any(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("buffers", ["copy", "own"])
def test_buffers_may_be_the_student_s_or_the_teacher_s_own(buffers: str) -> None:
    torch.manual_seed(0)
    net = Net()
    flat = FlatParameters(parameter_groups(net, net.encoder), gradients=True)
    teacher = make_teacher(net, buffers=buffers)
    average = MovingAverage(net, flat, teacher, buffers=buffers)
    expected = nn.BatchNorm1d(5)  # gets what the teacher's gets, and has statistics of its own
    for _ in range(3):
        x = torch.randn(3, 6, 4)
        net(x)
        expected((teacher.encoder(2 * x) + teacher.cls_token).transpose(1, 2))
        teacher(2 * x)
        average.update(torch.tensor(0.1))
    found = dict(teacher.norm.named_buffers())
    wanted = expected if buffers == "own" else net.norm
    assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in wanted.named_buffers())
    assert not torch.allclose(net.norm.running_var, expected.running_var)  # type: ignore[arg-type]


def test_parameters_that_are_not_trained_are_not_averaged_and_stay_the_student_s() -> None:
    torch.manual_seed(0)
    net = Net()
    net.encoder.requires_grad_(False)
    flat = FlatParameters(parameter_groups(net, net.encoder), gradients=True)
    teacher = make_teacher(net)
    average = MovingAverage(net, flat, teacher)
    with torch.no_grad():
        for value in flat.flat.values():
            value += 1
    average.update(torch.tensor(1.0))
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name
    assert sum(map(torch.numel, average.flat)) == sum(p.numel() for p in net.parameters() if p.requires_grad)


def test_the_flat_parameters_are_the_teacher_s_own_memory() -> None:
    net = Net()
    flat = FlatParameters(parameter_groups(net, net.encoder), gradients=True)
    teacher = make_teacher(net)
    average = MovingAverage(net, flat, teacher)
    assert sum(tensor.numel() for tensor in average.flat) == sum(p.numel() for p in teacher.parameters())
    with torch.no_grad():
        for tensor in average.flat:  # in place, as the first of several processes sends its values to the others
            tensor.fill_(3.0)
    assert all(bool((p == 3).all()) for p in teacher.parameters())
    assert not any(bool((p == 3).all()) for p in net.parameters())


def test_the_teacher_s_batch_norms_do_not_update_their_statistics() -> None:
    teacher = make_teacher(Net())
    before = {name: value.clone() for name, value in teacher.named_buffers() if value.is_floating_point()}
    teacher.train()
    teacher(torch.randn(3, 6, 4))
    assert all(torch.equal(dict(teacher.named_buffers())[name], value) for name, value in before.items())
