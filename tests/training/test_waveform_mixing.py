"""Waveform mixing of features against the features of mixed waveforms; its draws and labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, uniform
from tiny_training import rows_of, trainer_of

from sed.features.logmel import FrontEnd
from sed.training.augment import mix_features, mix_labels
from sed.training.waveform_mixing import draw_levels

PARTNER = torch.tensor([1, 0])


@pytest.mark.parametrize("decibels", [-6.0, 0.0, 6.0])
@pytest.mark.parametrize("amplitude", [0.1, 0.001])
def test_features_are_mixed_like_waveforms_and_mixup_s_are_not(decibels: float, amplitude: float) -> None:
    """The mean power of mixed noises is right to 0.1 dB; mixup weights the power of a far louder one by share**2."""
    front_end = FrontEnd(front_end="stft", power=2, clip_seconds=1.0, mel_bins=32)
    torch.manual_seed(0)
    one, other = torch.tensor([[0.1], [amplitude]]) * torch.randn(2, front_end.clip_samples)
    gain = 10 ** (decibels / 20)
    share = 1 / (1 + gain**2)
    together = (one + gain * other) / np.sqrt(1 + gain**2)
    clips = front_end(torch.stack([one, other]))
    expected = 10 ** (front_end(together[None]) / 10 / front_end.decibel)
    frames = torch.full((2,), clips.shape[1])
    weight = torch.tensor([share, 1.0])
    means = {}
    for added in (torch.tensor([True, False]), None):
        mixed, _ = mix_features(
            clips, frames, PARTNER, weight, decibel=front_end.decibel, floor=front_end.silence, added=added
        )
        power = 10 ** (mixed[0] / 10 / front_end.decibel)
        means[added is None] = 10 * np.log10(float(power.mean() / expected.mean()))
        torch.testing.assert_close(mixed[1], clips[1], rtol=0, atol=1e-4)
    assert abs(means[False]) < 0.1, means
    assert amplitude == 0.1 or means[True] == pytest.approx(10 * np.log10(share), abs=0.5), "share**2 instead of share"


def test_the_level_between_the_clips_of_a_mixture_is_uniform() -> None:
    mixed, share = draw_levels(np.random.default_rng(0), 0.5, 5.0, clips=4000)
    assert abs(mixed.mean() - 0.5) < 0.03
    level = 10 * np.log10((1 - share) / share)
    assert kstest(level, uniform(-5, 10).cdf).pvalue > 0.01
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert not draw_levels(rng, 0.0, 5.0, clips=3)[0].any() and rng.bit_generator.state == before


def test_labels_are_the_union_of_those_of_clips_mixed_as_waveforms() -> None:
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    partner, weight = torch.tensor([1, 0, 0]), torch.tensor([0.3, 0.3, 1.0])
    mixed = mix_labels(y, partner, weight, "soft", torch.tensor([True, False, False]))
    torch.testing.assert_close(mixed, torch.tensor([[1.0, 1.0], [0.7, 0.3], [0.0, 1.0]]))


def test_trains_and_mixes_strong_and_weak_clips_only(
    dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = tiny_config(wavmix_probability=1.0, shift_seconds=0.0, mask_max_seconds=0.0)
    trainer = trainer_of(config, dump, tmp_path / "a")
    inputs = trainer.maker.make(0)
    prepared = trainer.training_step.preparation(inputs)
    assert inputs.strong_added.all() and inputs.weak_added.all() and (inputs.unlabelled_mix == 1).all()
    y = inputs.strong_targets.float()
    assert torch.equal(prepared.strong_targets, torch.maximum(y, y[inputs.strong_partner]))
    rows = torch.tensor(rows_of(config, dump, tmp_path / "b"))
    assert rows.isfinite().all() and rows[-3:, 0].mean() < rows[:3, 0].mean()
