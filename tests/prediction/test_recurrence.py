import pytest
import torch

from sed.prediction import recurrence


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("repeat", [1, 3])
def test_steps_are_torchs_gru_compiled_or_not(backward, repeat):
    torch.manual_seed(0)
    gru = torch.nn.GRU(6, 5, batch_first=True)
    x = torch.randn(2, 4, 6)
    with torch.inference_mode():
        frames = x.repeat_interleave(repeat, 1)
        expected = gru(frames.flip(1))[0].flip(1) if backward else gru(frames)[0]
        gates, new = torch.nn.functional.linear(x, gru.weight_ih_l0, gru.bias_ih_l0).split((10, 5), 2)
        for run in (recurrence.steps, recurrence.compiled()):
            found = run(gates, new, gru.weight_hh_l0, gru.bias_hh_l0, repeat, backward, packed=False, scalars=[])
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_without_torchscript_the_plain_function_runs(monkeypatch):
    recurrence.compiled.cache_clear()
    monkeypatch.delattr(torch.jit, "script")
    assert recurrence.compiled() is recurrence.steps
    recurrence.compiled.cache_clear()
