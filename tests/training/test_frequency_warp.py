"""Frequency warping against NumPy's interpolation, its draws, and training with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, uniform
from tiny_training import rows_of, trainer_of

from sed.training.frequency_warp import draw_warps, warp


def drawn(probability: float = 1.0, least: float = 0.6, clips: int = 4000, bins: int = 16) -> np.ndarray:
    return draw_warps(np.random.default_rng(0), probability, least, clips=clips, bins=bins)


def test_a_warp_is_numpy_s_interpolation_of_the_kept_bins() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(-8, 3, (6, 5, 16)).astype(np.float32)
    warps = drawn(clips=6)
    found = warp(torch.from_numpy(x), torch.from_numpy(warps)).numpy()
    for clip, (first, step) in enumerate(warps):
        at = first + step * np.arange(16)
        for frame in range(5):
            np.testing.assert_allclose(found[clip, frame], np.interp(at, np.arange(16), x[clip, frame]), atol=1e-5)
    tone = torch.full((1, 1, 16), -10.0)
    tone[..., 9] = 0.0
    moved = warp(tone, torch.tensor([[3.0, 0.5]]))
    assert moved.argmax() == 12, "the new bin 12 is at 3 + 0.5 x 12 = 9"


def test_kept_bins_are_uniform_in_size_and_inside_the_spectrogram() -> None:
    first, step = drawn().T
    assert kstest(step, uniform(0.6, 0.4).cdf).pvalue > 0.01
    assert first.min() >= 0 and (first + step * 15).max() <= 15 + 1e-4
    assert kstest(first / (15 * (1 - step)), uniform().cdf).pvalue > 0.01
    half = drawn(probability=0.5)
    unchanged = (half == [0, 1]).all(1)
    assert abs(unchanged.mean() - 0.5) < 0.03


def test_no_warp_is_bit_for_bit_the_input_and_draws_nothing() -> None:
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    warps = draw_warps(rng, 0.0, 0.6, clips=2, bins=8)
    assert rng.bit_generator.state == before
    x = torch.randn(2, 3, 8)
    assert torch.equal(warp(x, torch.from_numpy(warps)), x)


def test_trains_with_other_warps_for_the_teacher(
    dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = tiny_config(warp_probability=1.0, filter_augment="none", mixup_probability=0.0)
    trainer = trainer_of(config, dump, tmp_path / "a")
    inputs = trainer.maker.make(0)
    prepared = trainer.training_step.preparation(inputs)
    assert not torch.equal(prepared.student, prepared.teacher)
    rows = torch.tensor(rows_of(config, dump, tmp_path / "c"))
    assert rows.isfinite().all() and rows[-3:, 0].mean() < rows[:3, 0].mean()


@pytest.mark.parametrize("bins", [1, 2, 3])
def test_few_bins_are_no_error(bins: int) -> None:
    warps = torch.from_numpy(drawn(clips=3, bins=bins))
    assert warp(torch.randn(3, 2, bins), warps).isfinite().all()
