"""Graphs of a detector, replaced by plain calls on the CPU, and the choice of its GRU; on a GPU the real ones."""

import pytest
import torch

from sed.gpu import detector as gpu_detector
from sed.gpu.detector import GpuDetector
from sed.models.detector import build_detector
from sed.models.encoders import ENCODERS


@pytest.fixture
def detector(tiny_config):
    torch.manual_seed(0)
    return build_detector(tiny_config(), 3).eval()


def clips(detector, count):
    return torch.randn(count, detector.input_frames, detector.mel_bins)


def test_a_graph_serves_batches_of_any_size(detector, monkeypatch):
    captures = []

    def graphed(call, _device):
        captures.append(fast._calls)
        call()
        output = fast._output

        def replay():  # as of a graph: every replay writes its output to the same memory
            call()
            for place, value in zip(output, fast._output, strict=True):
                if value is not None:
                    place.copy_(value)
            fast._output = output

        return replay

    monkeypatch.setattr(gpu_detector, "graphed", graphed)
    monkeypatch.setattr(gpu_detector, "GRAPHED", {"cpu"})
    batches = [clips(detector, count) for count in (3, 3, 3, 2, 3, 5, 4)]
    with torch.no_grad():
        expected = [detector(x) for x in batches]
        fast = GpuDetector(detector)
        found = [fast(x) for x in batches]  # kept: a later replay must not overwrite them
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.logits, b.logits)
        torch.testing.assert_close(a.clip, b.clip)
    assert captures == [3, 6]  # of three clips, after two calls without a graph, and of five


@pytest.mark.thorough
@pytest.mark.parametrize("encoder", [*ENCODERS, "ast with fte"])
def test_encoders_compute_in_bf16_under_autocast(encoder, small):
    torch.manual_seed(0)
    name, *fte = encoder.split(" with ")
    sizes = {"pooling": fte[0], "fte_blocks": 1} if fte else {"pooling": "mean"}
    detector = build_detector(small(encoder=name, cnn_width=0.25, input_frames=208, **sizes), 3).eval()
    x = clips(detector, 3)
    with torch.no_grad():
        expected = detector.encode(x)
        with torch.autocast("cpu", torch.bfloat16):
            under_autocast = relative_error(detector.encode(x), expected)
            posteriors = detector(x).logits.sigmoid()
            fast = GpuDetector(detector)
            found = fast(x).logits.sigmoid()
        assert (found - posteriors).abs().max() < 0.02
        if fast.halved:
            assert relative_error(detector.encode(x.bfloat16()), expected) < 3 * under_autocast
        assert fast.halved == (name in ("ast", "atst_frame", "beats", "eat"))  # the others have batch norms


def relative_error(x, expected):
    return (x.float() - expected).norm() / expected.norm()


def test_without_a_plan_the_gru_is_torch_s(detector):
    x = torch.randn(2, 4, detector.decoder.gru.input_size)
    with torch.no_grad():
        found = gpu_detector.FastGru()(detector.decoder.gru, x, 3)
        torch.testing.assert_close(found, detector.decoder.gru(x.repeat_interleave(3, 1))[0])


def test_the_kernel_gets_the_weights_of_its_precision_once(detector, monkeypatch):
    gru = detector.decoder.gru
    calls = []
    monkeypatch.setattr(gpu_detector, "plan_for", lambda *_, exact: f"exact {exact}")
    for name in ("exact_gru", "bi_gru"):
        monkeypatch.setattr(
            gpu_detector, name, lambda x, weights, name=name, **given: calls.append((name, weights, given)) or x
        )
    run, x = gpu_detector.FastGru(), torch.randn(2, 4, gru.input_size)
    with torch.no_grad():
        for amp in (False, True, False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                run(gru, x, 3)
    assert [name for name, *_ in calls] == ["exact_gru", "bi_gru"] * 2
    assert [given for *_, given in calls[:2]] == [{"repeat": 3, "plan": f"exact {exact}"} for exact in (True, False)]
    assert calls[0][1] is calls[2][1] and calls[1][1] is calls[3][1]
    assert calls[0][1][0].b_hh.dtype == torch.float32 and calls[1][1][0].b_hh.dtype == torch.bfloat16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("amp", "most"), [(False, 1e-4), (True, 0.05)])
def test_posteriors_on_a_gpu_are_those_of_a_cpu(amp, most, tiny_config):
    torch.manual_seed(0)
    detector = build_detector(tiny_config(gru_units=256), 3).eval()
    batches = [clips(detector, count) for count in (5, 5, 5, 2, 20)]
    with torch.no_grad():
        expected = [detector(x).logits.sigmoid() for x in batches]
        fast = GpuDetector(detector.cuda())
        for x, posteriors in zip(batches, expected, strict=True):
            with torch.autocast("cuda", torch.bfloat16, enabled=amp):
                found = fast(x.cuda()).logits.float().sigmoid()
            assert (found.cpu() - posteriors).abs().max() < most


def test_on_a_cpu_the_detector_itself_is_used(detector):
    assert gpu_detector.accelerated(detector, torch.device("cpu")) is detector
    assert isinstance(gpu_detector.accelerated(detector, torch.device("cuda")), GpuDetector)
