"""A training step against the same step written out with torch's own optimiser, clipping and loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import trainer_of
from torch import nn

from sed.models.detector import Detector, build_detector
from sed.training import losses
from sed.training.mean_teacher import make_teacher
from sed.training.parameters import parameter_groups
from sed.training.step import LOGGED, StepValues, choose_precision
from sed.training.trainer import Trainer


@pytest.fixture
def trainer(dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path) -> Trainer:
    return trainer_of(tiny_config(lr=1e-2, encoder_lr=1e-3, clip_norm=0.5, weight_decay=1e-4), dump, tmp_path)


def copy_of(trainer: Trainer, config: dict[str, Any]) -> Detector:
    """Return a copy of the student with separate parameters, not views of flat ones."""
    model = build_detector(config, 3)
    model.load_state_dict(trainer.training_step.student.state_dict())
    return model.train()


def average(teacher: nn.Module, student: nn.Module, weight: float) -> None:
    """Move the teacher's floating-point state towards the student's, tensor by tensor."""
    theirs = student.state_dict()
    for name, tensor in teacher.state_dict().items():
        tensor.copy_(tensor + weight * (theirs[name] - tensor) if tensor.is_floating_point() else theirs[name])


def test_steps_equal_a_mean_teacher_written_out(trainer: Trainer, tiny_config: Callable[..., dict[str, Any]]) -> None:
    step = trainer.training_step
    student = copy_of(trainer, tiny_config())
    teacher = make_teacher(student).train()
    groups = parameter_groups(student, student.encoder)
    optimiser = torch.optim.AdamW(
        [
            {"params": list(named.values()), "name": name, "weight_decay": 0.0 if "plain" in name else 1e-4}
            for name, named in groups.items()
        ],
        foreach=False,
    )
    for number in range(3):
        inputs, values = trainer.maker.fetched(trainer.maker.make(number)), trainer.values(number)
        logged = step([inputs], values)
        prepared = step.preparation(inputs)
        ours = student(prepared.student)
        with torch.no_grad():
            theirs = teacher(prepared.teacher)
        loss, parts = losses.objective(
            student_logits=ours.logits,
            student_clip=ours.clip,
            teacher_logits=theirs.logits,
            teacher_clip=theirs.clip,
            strong_targets=prepared.strong_targets,
            weak_targets=prepared.weak_targets,
            weights=torch.tensor(values.loss_weights),
        )
        for group in optimiser.param_groups:
            group["lr"] = values.encoder_lr if group["name"].startswith("encoder") else values.head_lr
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(student.parameters(), 0.5)
        optimiser.step()
        with torch.no_grad():
            average(teacher, student, values.ema_weight)
        expected = [loss.item(), *parts.tolist(), norm.item()]
        assert logged.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6), dict(zip(LOGGED, expected, strict=True))
    for model, plain in ((step.student, student), (step.teacher, teacher)):
        # Outputs, not weights: the gradient of a key's bias is 0 but for rounding, which Adam scales to a whole step.
        x = torch.randn(2, 112, 16)
        with torch.no_grad():
            found, wanted = model.eval()(x), plain.eval()(x)
        assert torch.allclose(found.logits, wanted.logits, atol=1e-4)
        assert torch.allclose(found.clip, wanted.clip, atol=1e-4)


def test_two_identical_shares_of_a_batch_take_the_step_of_one(trainer: Trainer, dump: Path, tmp_path: Path) -> None:
    inputs, values = trainer.maker.make(0), trainer.values(0)
    other = trainer_of(dict(trainer.identity["config"], **_runtime(trainer)), dump, tmp_path / "b")
    once, twice = trainer.training_step([inputs], values), other.training_step([inputs, inputs], values)
    assert torch.allclose(once, twice, rtol=1e-5)
    for name, value in trainer.training_step.student.state_dict().items():
        assert torch.allclose(other.training_step.student.state_dict()[name], value, atol=1e-6), name


def _runtime(trainer: Trainer) -> dict[str, Any]:
    from sed.config import default_options
    from sed.training.run_options import RUNTIME

    defaults = default_options("sed.training.build")
    return {**{key: defaults[key] for key in RUNTIME}, "device": trainer.device.type, "threads": 1}


def test_an_encoder_rate_of_0_leaves_the_encoder_unchanged(trainer: Trainer) -> None:
    step = trainer.training_step
    before = {name: value.clone() for name, value in step.student.state_dict().items()}
    values = StepValues(encoder_lr=0.0, head_lr=1e-2, ema_weight=0.0, loss_weights=(1.0, 1.0, 0.0, 0.0, 0.0, 0.0))
    step([trainer.maker.make(0)], values)
    changed = {name for name, value in step.student.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("encoder.") for name in changed)
    assert all(torch.equal(value, before[name]) for name, value in step.teacher.state_dict().items())


def test_a_frozen_encoder_has_no_gradients_and_the_head_has_its_own(
    trainer: Trainer, tiny_config: Callable[..., dict[str, Any]]
) -> None:
    step = trainer.training_step
    whole, teacher = copy_of(trainer, tiny_config()), copy_of(trainer, tiny_config())
    prepared = step.preparation(trainer.maker.make(0))
    outputs = whole(prepared.student)  # the graph of an encoder that learns
    with torch.no_grad():
        theirs = teacher(prepared.teacher)
    targets = {"strong_targets": prepared.strong_targets, "weak_targets": prepared.weak_targets}
    loss, _ = losses.objective(
        student_logits=outputs.logits,
        student_clip=outputs.clip,
        teacher_logits=theirs.logits,
        teacher_clip=theirs.clip,
        weights=torch.ones(len(losses.PARTS)),
        **targets,
    )
    loss.backward()
    wanted = {name: value.grad for name, value in whole.named_parameters() if not name.startswith("encoder.")}
    norm = torch.cat([g.flatten() for g in wanted.values() if g is not None]).norm()
    seen: list[torch.Tensor] = []
    step.student.encoder.register_forward_hook(lambda _m, _x, grid: seen.append(grid))  # type: ignore[attr-defined]
    frozen = StepValues(encoder_lr=0.0, head_lr=1e-2, ema_weight=1.0, loss_weights=(1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    logged = step([trainer.maker.make(0)], frozen)
    assert not seen[0].requires_grad
    assert logged[-1].item() == pytest.approx(norm.item(), rel=1e-5)
    for name, value in step.student.named_parameters():
        if name.startswith("encoder."):
            assert value.grad is None and not value.requires_grad, name
        else:  # clipped to 0.5
            assert torch.allclose(value.grad, wanted[name] * (0.5 / norm), atol=1e-6), name
    moved = {group["name"]: step.optimiser.state[group["params"][0]] for group in step.optimiser.param_groups}
    assert moved["head"]["step"] == 1 and moved["encoder"]["step"] == 0 and not moved["encoder"]["exp_avg"].any()
    step([trainer.maker.make(1)], trainer.values(1))
    assert all(value.grad is not None and value.requires_grad for value in step.student.parameters())
    assert moved["head"]["step"] == 2 and moved["encoder"]["step"] == 1 and moved["encoder"]["exp_avg"].any()


def test_without_consistency_the_teacher_is_not_evaluated(
    dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    trainer = trainer_of(tiny_config(consistency_weight=0.0), dump, tmp_path)

    def asked(*_: Any) -> None:
        raise AssertionError("the teacher was asked")

    trainer.training_step.teacher.register_forward_pre_hook(asked)
    trainer.training_step([trainer.maker.make(0)], trainer.values(0))


@pytest.mark.parametrize(
    ("name", "device", "chosen"),
    [("auto", "cuda", "bf16"), ("auto", "cpu", "fp32"), ("tf32", "cuda", "tf32"), ("bf16", "cpu", "bf16")],
)
def test_automatic_precision_depends_on_the_device(name: str, device: str, chosen: str) -> None:
    assert choose_precision(name, torch.device(device)) == chosen
