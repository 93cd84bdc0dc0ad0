"""CUDA graphs are compared with the eager models before the first training step, and again at a later one."""

import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_training import make_config, rows_of, write_dump

from sed.config import default_options
from sed.models.detector import build_detector
from sed.training import build
from sed.training.distributed import World
from sed.training.gpu import graphs
from sed.training.losses import PARTS
from sed.training.step import LOGGED, TrainingStep

SECOND = {"interpolation_consistency": True, "warp_probability": 0.5, "wavmix_probability": 0.5, "layer_decay": 0.5}
"""options of second stages, with which the teacher's outputs are mixed after the models"""

SHORT = {"epochs": 10, "steps_per_epoch": 20, "constant_epochs": 5}
"""200 steps"""


class Recorded(graphs.GraphedStep):
    """Graphs whose replay is a plain call, so that a CPU can run them; if `wrong`, the teacher's clips are permuted."""

    wrong = ()  # numbers of the captures that are wrong
    begins = 0  # first wrong step
    stale = False  # whether, with a second stream, the logged consistency loss is not that of the outputs
    captures = 0
    last = None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        Recorded.last = self
        self._encode_student, self._encode_teacher = self.student.encode, self.teacher.encode

    def release(self):
        self._backward = self._update = None

    def _capture(self, share):
        self.captures += 1
        self._backward = SimpleNamespace(replay=lambda: self._replay(share))
        self._update = SimpleNamespace(replay=lambda: setattr(self, "_norm", self.update()))
        self._backward.replay()

    def _replay(self, share):
        self._logged = self.backward(self._static, share)
        if self.stale and self._side is not None:
            self._logged[1 + PARTS.index("frame_consistency")] *= 2

    def models(self, prepared):
        if not self._plain and self.captures in self.wrong and self._calls >= self.begins:
            prepared = prepared._replace(teacher=prepared.teacher.roll(1, 0))
        return super().models(prepared)


@pytest.fixture
def recorded(monkeypatch):
    """Make a CPU use `Recorded` steps."""
    monkeypatch.setattr(graphs, "choose", lambda *_: Recorded)
    return Recorded


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("wrong", "captures", "plain", "messages"),
    [((), 1, False, []), ((1,), 2, False, ["not compiled"]), ((1, 2), 2, True, ["not compiled", "without them"])],
)
def test_graphs_that_differ_from_the_models_are_not_used(
    wrong, captures, plain, messages, dump, tiny_config, tmp_path, recorded, monkeypatch, caplog
):
    monkeypatch.setattr(recorded, "wrong", wrong)
    with caplog.at_level(logging.WARNING):
        found = rows_of(tiny_config(), dump, tmp_path / "recorded")
    monkeypatch.undo()
    assert found == rows_of(tiny_config(), dump, tmp_path / "plain")
    assert (recorded.last.captures, recorded.last._plain) == (captures, plain)
    warned = [r.getMessage() for r in caplog.records if "CUDA graphs" in r.getMessage()]
    assert len(warned) == len(messages) and all(part in line for part, line in zip(messages, warned, strict=True))


@pytest.mark.thorough
def test_the_second_check_finds_graphs_that_became_wrong(dump, tiny_config, tmp_path, recorded, monkeypatch, caplog):
    for name, value in (("wrong", (1,)), ("begins", 4), ("_SECOND_CHECK", 6)):
        monkeypatch.setattr(recorded, name, value)
    with caplog.at_level(logging.WARNING):
        rows = rows_of(tiny_config(), dump, tmp_path / "recorded")
    assert recorded.last.captures == 2 and not recorded.last._plain and "not compiled" in caplog.text
    monkeypatch.undo()
    expected = rows_of(tiny_config(), dump, tmp_path / "plain")
    assert rows[:3] == expected[:3] and rows[3] != expected[3]


@pytest.mark.thorough
def test_graphs_of_mixed_outputs_are_compared_with_the_mixed_outputs_of_the_models(
    dump, tiny_config, tmp_path, recorded, monkeypatch, caplog
):
    with caplog.at_level(logging.WARNING):
        found = rows_of(tiny_config(**SECOND), dump, tmp_path / "recorded")
    assert recorded.last.captures == 1 and "captured again" not in caplog.text
    monkeypatch.undo()
    assert found == rows_of(tiny_config(**SECOND), dump, tmp_path / "plain")


@pytest.mark.thorough
def test_a_consistency_loss_of_other_outputs_is_found(dump, tiny_config, tmp_path, recorded, monkeypatch, caplog):
    monkeypatch.setattr(recorded, "stale", True)
    build_side = graphs.CompiledStep.__init__

    def init(self, **kwargs):
        build_side(self, **kwargs)
        self._side = "a stream"  # until the second capture

    monkeypatch.setattr(graphs.CompiledStep, "__init__", init)
    monkeypatch.setattr(graphs.CompiledStep, "models", TrainingStep.models)
    with caplog.at_level(logging.INFO):
        rows_of(tiny_config(), dump, tmp_path / "exp")
    assert recorded.last.captures == 2 and not recorded.last._plain and "captured again" in caplog.text
    assert "the consistency loss that was logged is not that of the logits" in caplog.text


@pytest.mark.thorough
def test_replays_that_memory_does_not_suffice_to_compare_are_not_called_equal(
    dump, tiny_config, tmp_path, recorded, monkeypatch, caplog
):
    def full(_self):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(recorded, "_disagreements", full)
    with caplog.at_level(logging.INFO):
        rows_of(tiny_config(), dump, tmp_path / "exp")
    lines = [r.getMessage() for r in caplog.records if "CUDA graphs" in r.getMessage()]
    assert set(lines) == {
        "CUDA graphs: the GPU's memory is full, 3 of 3 replays are not compared with the eager models"
    }
    assert recorded.last.captures == 1 and not recorded.last._plain


@pytest.mark.thorough
def test_bf16_rounding_is_below_the_threshold(dump, tiny_config, tmp_path, recorded, caplog):
    with caplog.at_level(logging.INFO):
        rows_of(tiny_config(precision="bf16"), dump, tmp_path / "exp")
    assert recorded.last.captures == 1 and not recorded.last._plain
    error = re.search(r"logits differ from those .* and (0\.\d+) \(teacher\) of their spread", caplog.text)
    assert error and 0 < float(error[1]) < 0.1  # the teacher's: its bf16 GRU rounds differently


@pytest.mark.thorough
@pytest.mark.parametrize("option", [{"head_dropout": 0.5}, {"gru_dropout": 0.5, "gru_layers": 2}])
def test_models_with_dropout_cannot_be_compared(option, dump, tiny_config, tmp_path, recorded, monkeypatch):
    monkeypatch.setattr(recorded, "wrong", (1,))
    rows_of(tiny_config(**option), dump, tmp_path / "exp")
    assert recorded.last.captures == 1 and not recorded.last._plain


@pytest.mark.thorough
@pytest.mark.parametrize("step", [Recorded, graphs.CompiledStep])
def test_a_frozen_encoder_is_captured_and_compiled_separately(step, dump, tiny_config, tmp_path, monkeypatch):
    compilations = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: (compilations.append(call), call)[1])
    monkeypatch.setattr(graphs, "choose", lambda *_: step)
    config = tiny_config(frozen_epochs=1, encoder_lr=1e-3, lr=1e-2)
    found = rows_of(config, dump, tmp_path / "compiled")
    assert len(compilations) == 2 + 2 + 1  # student and teacher; encoder and pooling of a frozen one; the student again
    if step is Recorded:
        assert step.last.captures == 2 and not step.last._plain
    monkeypatch.undo()
    assert found == rows_of(config, dump, tmp_path / "plain")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("upsample, frozen, second", [(1, 0, {}), (5, 0, {}), (5, 1, {}), (5, 0, SECOND)])
def test_graphs_agree_with_the_models_on_a_gpu(upsample, frozen, second, dump, tiny_config, tmp_path, caplog):
    config = tiny_config(device="cuda", gru_units=16, upsample=upsample, frozen_epochs=frozen, **second)
    with caplog.at_level(logging.INFO):
        trainer = build.build_trainer(config, dump, tmp_path, device=torch.device("cuda"), world=World())
        trainer.run()
    assert isinstance(trainer.training_step, graphs.GraphedStep) and not trainer.training_step._plain
    assert "logits differ from those of the eager models by 0.0" in caplog.text and "captured again" not in caplog.text


PAPER = default_options("sed.features.logmel", "sed.models.detector", "sed.training.build")
"""options of AST-SED in the paper's size"""
del PAPER["seed"]  # each set that is written has one of its own


@pytest.mark.slow
@pytest.mark.parametrize(
    "config, tolerance",
    [
        (SHORT | {"lr": 1e-3, "encoder_lr": 1e-4}, 0.0025),
        pytest.param(
            PAPER | SHORT | {"pretrained": "none", "device": "cuda", "lr": 1e-4, "encoder_lr": 5e-6},
            0.02,
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
            ],
        ),
    ],
    ids=["tiny", "paper"],
)
def test_losses_of_200_steps_follow_eager_float32(config, tolerance, tmp_path):
    """Graphs, compiled code, the persistent GRU and bf16 products together on a GPU; on a CPU only bf16 products."""
    dump = write_dump(tmp_path / "dump", **config)
    found, expected = (
        np.array(rows_of(make_config(**config | changes), dump, tmp_path / changes["precision"]))
        for changes in ({"precision": "bf16"}, {"precision": "fp32", "accelerate": "eager"})
    )
    for name, times in (("loss", 1), ("strong", 1), ("weak", 1), ("gradient_norm", 5)):
        a, b = (rows[:, LOGGED.index(name)].reshape(10, 20).mean(1) for rows in (found, expected))
        print(f"{name}: bf16 over float32, minus 1, means of 20 steps:", np.round(a / b - 1, 5))
        np.testing.assert_allclose(a, b, rtol=times * tolerance, err_msg=name)
    loss = expected[:, LOGGED.index("loss")]
    print("loss, means of 20 steps:", np.round(loss.reshape(10, 20).mean(1), 4))
    assert loss[-20:].mean() < 0.9 * loss[:20].mean()  # something was learnt


def test_patches_are_embedded_outside_of_compiled_code(tiny_config, monkeypatch):
    shapes = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: lambda x: (shapes.append(x.shape[1:]), call(x))[1])
    config = tiny_config()
    detector = build_detector(config, 3)
    x = torch.randn(2, config["input_frames"], config["mel_bins"])
    assert torch.equal(graphs.compiled(detector)(x), detector.encode(x))
    bands, patches = detector.encoder.grid
    assert shapes == [(2 + bands * patches, detector.encoder.dim)]


def test_rounding_is_little_disagreement_and_a_wrong_clip_much():
    torch.manual_seed(0)
    logits = torch.randn(6, 50, 3)
    assert graphs.disagreement(logits, logits) == 0
    assert graphs.disagreement(logits + 0.01 * torch.randn_like(logits), logits) < 0.02
    one = logits.clone()
    one[4] = logits[3]
    assert graphs.disagreement(one, logits) > 1
    rare = torch.tensor([-50.0, 0.0, 50.0])  # the means of classes do not count as spread
    assert graphs.disagreement(one + rare, logits + rare) > 1
    one[4, 0, 0] = torch.nan
    assert graphs.disagreement(one, logits) > 1e9
