"""Operations and bytes of models against formulas written by hand."""

import pytest
import torch
from torch import nn

from sed.models.ast import Block
from sed.training.roofline import Limits, Work, forward_work, update_work


def test_a_linear_map_reads_inputs_and_weights_and_writes_outputs():
    layer = nn.Linear(8, 5)
    found = forward_work(layer, lambda m: m(torch.zeros(1, 3, 8)), clips=4, value_bytes=2)
    assert found == Work(operations=2 * 4 * 3 * 8 * 5, bytes=2 * (4 * 3 * (8 + 5) + 8 * 5 + 5))


def test_a_transformer_block_multiplies_weights_and_tokens():
    dim, tokens = 16, 6
    found = forward_work(
        Block(dim=dim, heads=2, mlp_ratio=4), lambda m: m(torch.zeros(1, tokens, dim)), clips=3, value_bytes=4
    )
    products = 2 * tokens * dim * (4 * dim + 2 * 4 * dim)  # query, key, value, output; both layers of the MLP
    attention = 2 * 2 * tokens * tokens * dim  # scores and weighted sums
    assert found.operations == 3 * (products + attention)


@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 2)])
def test_a_gru_multiplies_inputs_and_states(layers, directions):
    dim, units, frames = 12, 8, 5
    gru = nn.GRU(dim, units, layers, batch_first=True, bidirectional=directions == 2)
    found = forward_work(gru, lambda m: m(torch.zeros(1, frames, dim)), clips=2, value_bytes=4)
    inputs = [dim] + [directions * units] * (layers - 1)
    assert found.operations == 2 * 2 * frames * directions * sum(3 * units * (width + units) for width in inputs)


def test_the_limit_is_the_slower_of_operations_and_bytes():
    limits = Limits(operations=1e12, bytes=1e9)
    assert limits.milliseconds(Work(2e9, 1e6)) == 2.0
    assert limits.milliseconds(Work(1e9, 5e6)) == 5.0
    assert limits.milliseconds(Work(1e9, 1e6) * 3 + Work(0, 4e6)) == 7.0


def test_an_update_moves_nine_values_per_parameter():
    # float32; gradients are read, parameters, both moments of AdamW and the teacher read and written
    assert update_work(10) == Work(bytes=10 * 9 * 4)
