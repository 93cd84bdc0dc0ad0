"""Interpolation consistency against a step written out, its inputs, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import rows_of, trainer_of
from torch.nn.functional import mse_loss

from sed.errors import UserError
from sed.models.detector import DetectorOutput
from sed.training.interpolation import Mixture, interpolated
from sed.training.losses import PARTS

Config = Callable[..., dict[str, Any]]
ICT = {"interpolation_consistency": True, "mixup_alpha": 1.0}


def test_the_target_is_the_weighted_sum_of_the_teacher_s_posteriors() -> None:
    logits, clip = torch.randn(5, 4, 2), torch.rand(5, 2)
    mixtures = [
        Mixture(2, torch.tensor([1, 0]), torch.tensor([0.3, 1.0])),
        Mixture(0, torch.zeros(0, dtype=torch.long), torch.zeros(0)),
        Mixture(3, torch.tensor([2, 0]), torch.tensor([0.5, 0.9])),  # of two clips; the third is a partner alone
    ]
    found = interpolated(DetectorOutput(logits, clip), mixtures, "soft")
    p = logits.sigmoid()
    expected = [0.3 * p[0] + 0.7 * p[1], p[1], 0.5 * p[2] + 0.5 * p[4], 0.9 * p[3] + 0.1 * p[2]]
    torch.testing.assert_close(found.logits.sigmoid(), torch.stack(expected), rtol=0, atol=2e-6)
    torch.testing.assert_close(found.clip[2], (clip[2] + clip[4]) / 2)
    sure = interpolated(DetectorOutput(torch.tensor([[[40.0]], [[-40.0]]]), clip[:2]), mixtures[:1], "hard")
    assert sure.logits.isfinite().all(), "posteriors of 1 and 0"
    torch.testing.assert_close(sure.logits.sigmoid().flatten(), torch.tensor([1.0, 0.0]), rtol=0, atol=2e-6)
    union = interpolated(DetectorOutput(logits, clip), mixtures[:1], "hard")
    torch.testing.assert_close(union.clip[0], torch.maximum(clip[0], clip[1]))


def test_a_step_s_consistency_is_that_of_the_mixed_clips(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    """If mixing is the only augmentation, the loss follows from the raw features, by loops over clips."""
    config = tiny_config(**ICT, shift_seconds=0.0, filter_augment="none", mask_max_seconds=0.0)
    step = (trainer := trainer_of(config, dump, tmp_path)).training_step
    inputs = trainer.maker.make(0)
    assert (inputs.unlabelled_mix < 1).all(), "unlabelled clips are mixed as well"
    student = step.student(step.preparation(inputs).student)
    front_end = step.preparation.front_end
    with torch.no_grad():
        plain = step.teacher(front_end.normalise(inputs.features, inputs.valid, 112, "raw"))
    frames, clips = [], []
    strong, weak, unlabelled = slice(0, 4), slice(4, 8), slice(8, 12)
    for part, kind in ((strong, "strong"), (weak, "weak"), (unlabelled, "unlabelled")):
        partner, weight = getattr(inputs, f"{kind}_partner"), getattr(inputs, f"{kind}_mix")
        own, tags = plain.logits[part].sigmoid(), plain.clip[part]
        for k in range(4):
            frames.append(weight[k] * own[k] + (1 - weight[k]) * own[partner[k]])
            clips.append(weight[k] * tags[k] + (1 - weight[k]) * tags[partner[k]])
    logged = step([inputs], trainer.values(3))
    losses = dict(zip(PARTS, logged[1:].tolist(), strict=False))
    expected = mse_loss(student.logits.sigmoid(), torch.stack(frames)).item()
    assert losses["frame_consistency"] == pytest.approx(expected, rel=1e-4)
    expected = mse_loss(student.clip, torch.stack(clips)).item()
    assert losses["clip_consistency"] == pytest.approx(expected, rel=1e-4)


def test_without_mixing_nothing_changes_and_both_models_see_the_same_masks(
    dump: Path, tiny_config: Config, tmp_path: Path
) -> None:
    options = {"shift_seconds": 0.0, "mixup_probability": 0.0, "filter_augment": "none", "mask_min_seconds": 0.1}
    plain = trainer_of(tiny_config(**options, mixup_alpha=1.0), dump, tmp_path / "a")
    ict = trainer_of(tiny_config(**options, **ICT), dump, tmp_path / "b")
    ours, theirs = (t.training_step.preparation(t.maker.make(2)) for t in (ict, plain))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, msg="prepared inputs differ from those without ICT")
    assert torch.equal(ours.student, ours.teacher)


def test_shares_are_the_whole_batch(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    """Each share of a batch also reads mixup partners that belong to other shares, and the teacher evaluates them."""
    config = tiny_config(**ICT, gru_dropout=0.0, lr=1e-2)
    whole, parts = (
        trainer_of(config, dump, tmp_path / "a"),
        trainer_of({**config, "accumulate": 2}, dump, tmp_path / "b"),
    )
    once = whole.training_step([whole.maker.make(0)], whole.values(3))
    twice = parts.training_step([parts.maker.make(0, share) for share in (0, 1)], parts.values(3))
    consistency = [1 + PARTS.index("frame_consistency"), 1 + PARTS.index("clip_consistency")]
    torch.testing.assert_close(once[consistency], twice[consistency], rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_trains_and_refuses_a_weight_of_0(dump: Path, tiny_config: Config, tmp_path: Path) -> None:
    rows = torch.tensor(rows_of(tiny_config(**ICT, wavmix_probability=0.5), dump, tmp_path / "a"))
    assert rows.isfinite().all() and rows[-3:, 0].mean() < rows[:3, 0].mean()
    with pytest.raises(UserError, match="interpolation_consistency: with consistency_weight 0"):
        trainer_of(tiny_config(**ICT, consistency_weight=0.0), dump, tmp_path / "b")
