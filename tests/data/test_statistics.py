"""Statistics of training sets: compared with NumPy on all frames, and stored by training with the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_training
import torch

from sed.checkpoints.checkpoint import load_detector
from sed.data import statistics
from sed.data.statistics import bin_statistics, fitted
from sed.data.store import FeatureStore
from sed.errors import UserError
from sed.evaluation.inference import infer_set
from sed.features.logmel import FrontEnd


class Store:
    """Stand-in for a FeatureStore, with 99 in the frames of padding."""

    def __init__(self, seed: int, clips: int) -> None:
        rng = np.random.default_rng(seed)
        self.clips = [f"c{i}" for i in range(clips)]
        self.valid = rng.integers(5, 12, clips)
        self.features = rng.normal(seed, 1 + seed, (clips, 12, 3)).astype(np.float16)
        for clip, valid in zip(self.features, self.valid, strict=True):
            clip[valid:] = 99

    def read(self, rows: Any) -> np.ndarray:
        return self.features[rows]

    def valid_frames(self) -> list[np.ndarray]:
        """Return the features of each clip without padding: (valid frames, bins)."""
        return [clip[:valid].astype(float) for clip, valid in zip(self.features, self.valid, strict=True)]


def test_statistics_over_clips_and_over_frames_are_those_of_numpy() -> None:
    stores = [Store(0, 7), Store(2, 3)]
    clips = [clip for store in stores for clip in store.valid_frames()]
    mean, deviation = bin_statistics(stores, over="clips")
    np.testing.assert_allclose(mean, np.mean([x.mean(0) for x in clips], 0))
    np.testing.assert_allclose(deviation, np.mean([x.std(0) for x in clips], 0))
    mean, deviation = bin_statistics(stores, over="frames")
    np.testing.assert_allclose(mean, np.concatenate(clips).mean(0))
    np.testing.assert_allclose(deviation, np.concatenate(clips).std(0))


def test_large_sets_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "CLIPS", 5)
    stores = [Store(0, 9), Store(3, 8)]
    clips = [*stores[0].valid_frames(), *stores[1].valid_frames()]
    mean, _ = bin_statistics(stores, over="clips")
    np.testing.assert_allclose(mean, np.mean([clips[i].mean(0) for i in (0, 4, 8, 12, 16)], 0))


def test_only_a_front_end_that_needs_statistics_gets_them() -> None:
    front_end = FrontEnd(mel_bins=4)
    assert fitted(front_end, []) is front_end
    given = FrontEnd(mel_bins=4, normaliser="bins", norm_bins="1,2,3,4,1,1,1,1")
    assert fitted(given, []) is given


def test_a_silent_bin_has_a_deviation_above_zero() -> None:
    store = Store(0, 3)
    store.features[..., 1] = -5
    mean, deviation = bin_statistics([store], over="clips")
    assert mean[1] == -5 and deviation[1] == statistics.LEAST


@pytest.mark.parametrize("over", ["clips", "frames"])
def test_training_keeps_statistics_with_the_model(
    tmp_path: Path, tiny_config: Callable[..., dict[str, Any]], over: str
) -> None:
    front_end = {"normaliser": "bins", "norm_over": over, "norm_clamp": 2.0}
    kinds = {"strong_real": "strong", "weak": "weak", "unlabelled": "none", "synth_valid": "strong"}
    for seed, (name, supervision) in enumerate(kinds.items()):
        tiny_training.write_set(tmp_path / "dump" / name, clips=7, supervision=supervision, seed=seed, **front_end)
    (tmp_path / "dump" / "labels.txt").write_text("\n".join(tiny_training.LABELS) + "\n")
    sets = {"train_sets": ["strong_real", "weak", "unlabelled"], "batch_sizes": [2, 2, 2]}
    config = tiny_config(**front_end, **sets, epochs=1, steps_per_epoch=2)
    tiny_training.trainer_of(config, tmp_path / "dump", tmp_path / "exp").run()
    model = load_detector(tmp_path / "exp")
    stores = [FeatureStore(tmp_path / "dump" / name) for name in ("strong_real", "weak", "unlabelled")]
    mean, deviation = bin_statistics(stores, over=over)
    logmel = torch.from_numpy(stores[0].read([0]))
    x = model.front_end.normalise(logmel, valid=None, input_frames=stores[0].frames, padding="raw")[0].numpy()
    np.testing.assert_allclose(x, np.clip((logmel[0].numpy() - mean) / deviation, -2, 2), atol=2e-3)
    scores = infer_set(
        model.detector, model.front_end, model.labels, tmp_path / "dump" / "synth_valid", batch_size=4,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert np.isfinite(scores.frame).all()
    assert FrontEnd.from_params(model.front_end.params()).params() == model.front_end.params()


def test_normalising_without_statistics_is_refused() -> None:
    front_end = FrontEnd(mel_bins=4, normaliser="bins")
    with pytest.raises(UserError, match="no statistics"):
        front_end.normalise(torch.zeros(1, 3, 4), None, 3, "raw")
