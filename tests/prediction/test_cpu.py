import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_model import sounds

from sed.errors import UserError
from sed.prediction import recurrence
from sed.prediction.cpu import PackedGRU, PackedLinear, lower
from sed.prediction.model import open_model
from sed.prediction.predictor import TorchPredictor


@pytest.mark.parametrize("layers,batch,threads", [(1, 1, 1), (2, 3, 1), (2, 2, 2)])
def test_packed_gru_is_torchs(layers, batch, threads):
    torch.manual_seed(layers)
    gru = torch.nn.GRU(20, 12, layers, batch_first=True, bidirectional=True).eval()
    x = torch.randn(batch, 15, 20)
    with torch.inference_mode():
        expected = gru(x.repeat_interleave(5, 1))[0]
        packed = PackedGRU(gru, threads)
        for _ in range(2):  # the second call takes the weights that the first has packed
            torch.testing.assert_close(packed(x, 5), expected, atol=1e-6, rtol=1e-5)


def test_steps_are_compiled_once_and_in_the_callers_thread(monkeypatch):
    """Compiled in both threads, they often left all warnings ignored for the rest of the process."""
    gru = torch.nn.GRU(8, 4, batch_first=True, bidirectional=True)
    threads = []
    monkeypatch.setattr(torch.jit, "script", lambda function: threads.append(threading.current_thread()) or function)
    recurrence.compiled.cache_clear()
    try:
        PackedGRU(gru, 2)(torch.zeros(1, 4, 8), 1)
    finally:
        recurrence.compiled.cache_clear()
    assert threads == [threading.current_thread()]


def test_threads_that_start_later_keep_torchs_number_of_threads():
    gru = torch.nn.GRU(8, 4, batch_first=True, bidirectional=True)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        packed = PackedGRU(gru, 3)
        assert packed._pool is not None and len(packed._pool._threads) == 2
        packed(torch.zeros(1, 4, 8), 1)
        assert {packed._pool.submit(torch.get_num_threads).result() for _ in range(4)} == {1}
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(1, 20), (3, 7, 20), (5000, 20)])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_linear_is_torchs_for_any_rows(shape, bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(20, 12, bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        expected = linear(x)
        torch.testing.assert_close(PackedLinear(linear, torch.float32)(x), expected, atol=1e-6, rtol=1e-5)
        rounded = PackedLinear(linear, torch.bfloat16)(x)
        assert rounded.dtype == torch.float32 and 1e-6 < (rounded - expected).abs().max() < 0.05


def test_without_onednn_torchs_own_products_are_used(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    gru = torch.nn.GRU(8, 4, batch_first=True, bidirectional=True)
    x = torch.randn(2, 5, 8)
    packed = PackedGRU(gru, 1)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x, 1), gru(x)[0], atol=1e-6, rtol=1e-5)
    products = [*packed._inputs[0], *packed._products.values()]
    assert len(products) == 4 and not any(product.packed for product in products)


@pytest.mark.thorough
@pytest.mark.parametrize("precision,tolerance", [("float32", 1e-5), ("bfloat16", 5e-2), ("int8", 5e-2)])
@pytest.mark.parametrize("kind", ["experiment", "crnn_experiment"])
def test_lower_precision_keeps_the_posteriors(request, kind, precision, tolerance):
    model = open_model(request.getfixturevalue(kind)).model
    clips = [sounds(10), sounds(4)]
    outputs = [
        TorchPredictor(detector=detector, front_end=model.front_end, labels=model.labels)(clips)
        for detector in (model.detector, lower(copy.deepcopy(model.detector), precision, "cpu", 2))
    ]
    assert abs(outputs[0].frame - outputs[1].frame).mean() <= tolerance
    assert (outputs[0].frame != outputs[1].frame).any()


def test_int8_on_a_gpu_is_refused(experiment):
    with pytest.raises(UserError, match="only on the CPU"):
        lower(open_model(experiment).model.detector, "int8", "cuda", 1)
