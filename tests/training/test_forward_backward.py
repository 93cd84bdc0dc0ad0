"""FB-CRNN's objective against a loop over clips, classes and frames; its optimum; unknown targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import rows_of, trainer_of
from torch import Tensor

from sed.errors import UserError
from sed.models.detector import DetectorOutput
from sed.training.forward_backward import ForwardBackward, class_losses, known
from sed.training.losses import PARTS

Config = Callable[..., dict[str, Any]]
APART = {"gru_directions": "apart", "clip_pooling": "ends", "objective": "forward_backward", "consistency_weight": 0.0}


def cross_entropy(y: float, target: float) -> float:
    return -(target * math.log(y) + (1 - target) * math.log(1 - y))


def looped(y: Tensor, strong: list[Any], weak: list[Any], weight: tuple[float, float]) -> float:
    """Compute the published loss by loops; a strong clip's frame may be None: its class is present, not known when."""
    total = count = 0.0
    for clip, (w, labels) in enumerate([(weight[0], c) for c in strong] + [(weight[1], c) for c in weak]):
        for k in range(y.shape[3]):
            ahead, back = y[0, clip, :, k].tolist(), y[1, clip, :, k].tolist()
            frames = [row[k] for row in labels] if clip < len(strong) else None
            tag = labels[k] if frames is None else (1.0 if None in frames else max(frames))
            if 0.01 < tag < 0.99:
                continue
            loss = 0.0
            if frames is not None and tag > 0.99 and all(f in (0.0, 1.0) for f in frames):
                first, last = frames.index(1.0), len(frames) - 1 - frames[::-1].index(1.0)
                for t in range(len(frames)):
                    loss += (
                        cross_entropy(ahead[t], float(t >= first)) / 2 + cross_entropy(back[t], float(t <= last)) / 2
                    )
            else:
                for a, b in zip(ahead, back, strict=True):
                    loss += cross_entropy(max(a, b), tag)
            total += w * loss / len(ahead)
            count += w
    return total / count


def call(directions: Tensor, strong: Tensor, weak: Tensor, weights: tuple[float, float]) -> tuple[Tensor, Tensor]:
    output = DetectorOutput(directions.amin(0), torch.zeros(directions.shape[1], directions.shape[3]), directions)
    objective = ForwardBackward.__new__(ForwardBackward)
    every = torch.tensor([*weights, *[0.0] * (len(PARTS) - 2)])
    return objective(output, output, strong_targets=strong, weak_targets=weak, weights=every)


def test_the_loss_is_that_of_loops_over_clips_classes_and_frames() -> None:
    torch.manual_seed(0)
    nan = math.nan
    frames = [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, None, 0.3], [0.0, 0.0, None, 1.0], [1.0, 0.0, 0.0, 0.3]]
    other = [[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.3], [0.0, 0.0, 0.0, 0.3], [0.0, 1.0, 0.0, 0.0]]
    tags = [[1.0, 0.0, 0.4, 1.0]]
    directions = torch.randn(2, 4, 4, 4)  # two strong clips, a weak one, an unlabelled one; 4 frames, 4 classes
    clips = torch.tensor([[[nan if v is None else v for v in row] for row in clip] for clip in (frames, other)])
    for weights in ((1.0, 1.0), (1.0, 0.5)):
        total, parts = call(directions, clips, torch.tensor(tags), weights)
        expected = looped(directions.sigmoid(), [frames, other], tags, weights)
        assert total.item() == pytest.approx(expected, rel=1e-5)
        assert parts[0].item() == pytest.approx(looped(directions.sigmoid(), [frames, other], [], weights), rel=1e-5)
        assert not parts[2:].any()
    alone = looped(directions[:, 2:3].sigmoid(), [], tags, (1.0, 1.0))
    assert parts[1].item() == pytest.approx(alone, rel=1e-5)


def test_at_the_optimum_the_lesser_direction_is_between_the_boundaries_and_the_larger_is_1() -> None:
    """Minimise over free logits; the paper states the optimum: min(y_f, y_b) = boundaries, max = 1."""
    active = torch.zeros(1, 12, 2)
    active[0, 3:5, 0] = active[0, 8:10, 0] = 1
    directions = torch.zeros(2, 1, 12, 2, requires_grad=True)
    optimiser = torch.optim.Adam([directions], lr=0.3)
    for _ in range(150):
        optimiser.zero_grad()
        losses, counts = class_losses(directions, active.amax(1), active)
        (losses.sum() / counts.sum()).backward()
        optimiser.step()
    y = directions.detach().sigmoid()
    between = torch.zeros(12)
    between[3:10] = 1  # from the first onset to the last offset
    torch.testing.assert_close(y.amin(0)[0, :, 0], between, rtol=0, atol=0.01)
    assert y.amax(0)[0, :, 0].min() > 0.99
    assert y.amax(0)[0, :, 1].max() < 0.01, "an absent class is in neither"


def test_classes_of_unknown_tags_get_no_gradient() -> None:
    directions = torch.randn(2, 3, 5, 2, requires_grad=True)
    soft = torch.tensor([[1.0, 0.5]])
    strong = torch.full((1, 5, 2), math.nan)
    strong[..., 1] = 0.4
    call(directions, strong, soft, (1.0, 1.0))[0].backward()
    grad = directions.grad
    assert grad is not None
    assert grad[:, 0, :, 0].any() and grad[:, 1, :, 0].any(), "present, not known when: its tag counts"
    assert not grad[:, :, :, 1].any() and not grad[:, 2].any(), "mixtures and unlabelled clips do not"
    assert known(torch.tensor([0.0, 0.2, 1.0, math.nan])).tolist() == [True, False, True, False]
    assert known(torch.tensor([0.005, 0.05, 0.95, 0.995])).tolist() == [True, False, False, True]


def test_a_batch_without_known_tags_has_a_loss_of_0() -> None:
    directions = torch.randn(2, 2, 5, 1, requires_grad=True)
    total, parts = call(directions, torch.full((1, 5, 1), 0.4), torch.tensor([[0.5]]), (1.0, 1.0))
    total.backward()
    assert total.item() == 0 and not parts.any()
    assert directions.grad is not None and not directions.grad.any()


def test_trains_and_refuses_what_does_not_fit(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    rows = rows_of(tiny_config(**APART, mixup_labels="hard"), dump, tmp_path / "exp")
    loss = torch.tensor(rows)[:, 0]
    assert loss[-3:].mean() < loss[:3].mean()
    for values, message in (
        ({"gru_directions": "both", "clip_pooling": "max"}, "separate directions"),
        ({"consistency_weight": 2.0}, "no consistency"),
        ({"pseudo_weight": 1.0}, "no cross-entropy of pseudo-labels"),
        ({"strong_tag_weight": 0.5}, "no separate loss of strong tags"),
    ):
        with pytest.raises(UserError, match=message):
            trainer_of(tiny_config(**{**APART, **values}), dump, tmp_path / "other")
