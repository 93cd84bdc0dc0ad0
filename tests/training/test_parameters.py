import copy

import pytest
import torch
from torch import nn

from sed.training.parameters import (
    FlatParameters,
    build_optimiser,
    load_optimiser_state,
    optimiser_state,
    parameter_groups,
    rate_factor,
)

CPU = torch.device("cpu")


class Net(nn.Module):
    no_weight_decay = ("cls_token",)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5))
        self.cls_token = nn.Parameter(torch.randn(1, 1, 5))
        self.norm = nn.BatchNorm1d(5)
        self.head = nn.GRU(5, 3, batch_first=True)

    def forward(self, x):
        x = self.norm((self.encoder(x) + self.cls_token).transpose(1, 2)).transpose(1, 2)
        return self.head(x)[0]


def flat_of(net):
    return FlatParameters(parameter_groups(net, net.encoder), gradients=True)


def test_parameters_are_grouped_by_rate_and_decay():
    groups = parameter_groups(Net(), (net := Net()).encoder)
    assert set(groups) == {"head", "head_plain"}  # another model's encoder
    groups = parameter_groups(net, net.encoder)
    assert set(groups["encoder"]) == {"encoder.0.weight"}
    assert set(groups["encoder_plain"]) == {"encoder.0.bias", "encoder.1.weight", "encoder.1.bias"}
    assert set(groups["head"]) == {"head.weight_ih_l0", "head.weight_hh_l0"}
    assert "cls_token" in groups["head_plain"] and "norm.weight" in groups["head_plain"]


def test_flat_training_equals_adamw_on_the_separate_tensors():
    torch.manual_seed(0)
    net = Net()
    net.norm = nn.Identity()  # batch norm cancels the token's gradient but for rounding, which Adam would scale up
    plain = copy.deepcopy(net)
    flat = flat_of(net)
    ours = build_optimiser(flat, weight_decay=0.1, betas=(0.9, 0.99), device=CPU)
    groups = parameter_groups(plain, plain.encoder)
    rates = {"encoder": 1e-3, "head": 1e-2}
    theirs = torch.optim.AdamW(
        [
            {
                "params": list(named.values()),
                "lr": rates[g.split("_")[0]],
                "weight_decay": 0.0 if "plain" in g else 0.1,
            }
            for g, named in groups.items()
        ],
        betas=(0.9, 0.99),
        foreach=False,
    )
    for group in ours.param_groups:
        group["lr"] = rates[group["name"].split("_")[0]]
    for seed in range(5):
        x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(seed))
        flat.zero_gradients()
        net(x).square().mean().backward()
        norm = flat.clip_gradients(0.05)
        ours.step()
        theirs.zero_grad()
        plain(x).square().mean().backward()
        reference = nn.utils.clip_grad_norm_(plain.parameters(), 0.05)
        theirs.step()
        assert torch.allclose(norm, reference, rtol=1e-5)
    for (name, a), b in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name


def test_the_optimiser_s_state_is_restored_exactly_and_that_of_other_groups_is_refused():
    torch.manual_seed(0)
    net, flat = (n := Net()), flat_of(n)
    optimiser = build_optimiser(flat, weight_decay=0.0, betas=(0.9, 0.99), device=CPU)
    net(torch.randn(2, 6, 4)).sum().backward()
    optimiser.step()
    saved = {g: {k: v.clone() for k, v in s.items()} for g, s in optimiser_state(optimiser).items()}
    other = build_optimiser(flat_of(Net()), weight_decay=0.0, betas=(0.9, 0.99), device=CPU)
    load_optimiser_state(other, saved)
    again = optimiser_state(other)
    assert all(torch.equal(again[g][k], v) for g, s in saved.items() for k, v in s.items())
    with pytest.raises(ValueError, match="group"):
        load_optimiser_state(other, {"head": saved["head"]})


class Blocks(nn.Module):
    """Encoder of three blocks, with a token and an embedding before them and a norm after them."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 4))
        self.embed = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        x = self.embed(x) + self.token
        for block in self.blocks:
            x = x + block(x)
        return self.norm(x)


class Layered(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = Blocks(), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


def expected_factor(name, decay):
    """Return the factor from the parameter's name: 1 for the last block, times `decay` per block below."""
    if name.startswith("head"):
        return 1.0
    layer = name.removeprefix("encoder.")
    steps_down = {"blocks.2": 0, "blocks.1": 1, "blocks.0": 2, "embed": 3, "token": 3, "norm": 0}
    return decay ** next(steps for start, steps in steps_down.items() if layer.startswith(start))


def test_rates_fall_from_the_last_block_down_to_the_embedding():
    net = Layered()
    groups = parameter_groups(net, net.encoder, by_layer=True)
    assert sum(map(len, groups.values())) == len(list(net.parameters()))
    for group, named in groups.items():
        for name in named:
            assert rate_factor(group, 0.5) == expected_factor(name, 0.5), name
    plain = parameter_groups(net, net.encoder)
    assert set(plain) == {"encoder", "encoder_plain", "head", "head_plain"}
    assert {rate_factor(group, 0.5) for group in plain} == {1.0}


@pytest.mark.parametrize("decay", [0.95, 0.5])
def test_layer_decay_equals_adamw_with_a_group_for_each_parameter(decay):
    torch.manual_seed(0)
    net = Layered()
    plain = copy.deepcopy(net)
    flat = FlatParameters(parameter_groups(net, net.encoder, by_layer=True), gradients=True)
    ours = build_optimiser(flat, weight_decay=0.1, betas=(0.9, 0.99), device=CPU, layer_decay=decay)
    for group in ours.param_groups:
        group["lr"] = group["rate_factor"] * (1e-3 if group["name"].startswith("encoder") else 1e-2)
    separate = [
        {
            "params": [parameter],
            "lr": (1e-2 if name.startswith("head") else 1e-3) * expected_factor(name, decay),
            "weight_decay": 0.1 if parameter.ndim > 1 else 0.0,
        }
        for name, parameter in plain.named_parameters()
    ]
    theirs = torch.optim.AdamW(separate, betas=(0.9, 0.99), foreach=False)
    for seed in range(4):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))
        flat.zero_gradients()
        theirs.zero_grad()
        for model, optimiser in ((net, ours), (plain, theirs)):
            model(x).square().mean().backward()
            optimiser.step()
    for (name, a), b in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7), name


def test_layers_of_an_encoder_without_blocks_are_refused():
    with pytest.raises(ValueError, match="layer_decay needs an encoder made of blocks"):
        parameter_groups(net := Net(), net.encoder, by_layer=True)


@pytest.mark.parametrize("limit", [0.0, 100.0])
def test_gradients_without_a_limit_or_below_it_stay_as_they_are(limit):
    flat = flat_of(net := Net())
    for gradient in flat.gradients:
        gradient.fill_(0.25)
    norm = flat.clip_gradients(limit)
    assert all(bool((gradient == 0.25).all()) for gradient in flat.gradients)
    assert norm.item() == pytest.approx(0.25 * sum(p.numel() for p in net.parameters()) ** 0.5)


def test_the_state_of_groups_of_another_size_is_refused():
    """Its parameters may have moved from one group to another, while each has the size that it had."""
    net, other = Net(), Net()
    other.no_weight_decay = ()  # the token is in the group `head` now
    saved = optimiser_state(build_optimiser(flat_of(net), weight_decay=0.0, betas=(0.9, 0.99), device=CPU))
    optimiser = build_optimiser(flat_of(other), weight_decay=0.0, betas=(0.9, 0.99), device=CPU)
    with pytest.raises(ValueError, match=r"parameters in group head(_plain)?, not"):
        load_optimiser_state(optimiser, saved)
